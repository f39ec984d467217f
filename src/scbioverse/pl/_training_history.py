"""`sb.pl.training_history`: the loss of a training run, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .._slots import anndata_of, check_target, read_record, records_of
from ..errors import InputError, MissingKeyError
from ._style import INK, drawn_in, finish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def training_history(
    data: Any,
    *,
    key: str | None = None,
    columns: list[str] | None = None,
    smooth: int = 5,
    palette: Sequence[str] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | list[Axes] | None:
    """Draw the loss of a training run over its steps.

    Parameters
    ----------
    data
        An AnnData that :func:`scbioverse.tl.tune` or :func:`scbioverse.tl.align` was run on, or a history as
        :func:`scbioverse.train.fit` returns it.
    key
        Record in `uns["bioverse"]` that holds the history: `"tune"`, `"align"`. None: the first of these that is there.
    columns
        What to draw. If not given: the loss, and each task's loss where there are some.
    smooth
        Steps in the running mean; every step is shown faintly behind the loss.
    palette, ax, show, return_fig
        Colours of the lines, in turn; where to draw; show the figure (the default), or return it and do not show it.

    Returns
    -------
    None, the axes if `show=False`, or the figure if `return_fig=True`.

    Raises
    ------
    MissingKeyError
        There is no such record, or it holds no history.
    InputError
        This is neither an AnnData nor a history, a column is not there, or the history is empty.
    """
    history = data if isinstance(data, pd.DataFrame) else _recorded(data, key)
    names = columns or ["loss", *sorted(name for name in history.columns if name.startswith("loss_"))]
    absent = [name for name in ("step", *names) if name not in history.columns]
    if absent or history.empty:
        raise InputError(f"the history has no values of {absent or names} (found: {list(history.columns)}).")
    figure, ax = drawn_in(ax, 6.2, 4.0)
    if palette is not None:
        ax.set_prop_cycle(color=list(palette))
    for name in names:
        values = history.set_index("step")[name].dropna().astype(float)
        mean = values.rolling(max(1, smooth), min_periods=1, center=True).mean()
        title = name.removeprefix("loss_").replace("_", " ")
        if name != "loss":
            ax.plot(mean.index, mean, lw=1.1, label=title)
            continue
        (line,) = ax.plot(mean.index, mean, lw=2.2, color=INK if palette is None else None, label=title)
        ax.plot(values.index, values, lw=0.6, alpha=0.35, color=line.get_color())
    ax.set_xlabel("step")
    ax.set_ylabel("loss (nats a token)")
    ax.spines[["top", "right"]].set_visible(False)
    if len(names) > 1:
        ax.legend(frameon=False, fontsize=8)
    return finish(figure, [ax], show=show, return_fig=return_fig)


def _recorded(data: Any, key: str | None) -> pd.DataFrame:
    """Take the history out of an AnnData's record."""
    check_target(adata := anndata_of(data))
    if key is None:
        key = next((one for one in ("tune", "align") if one in records_of(adata)), "tune")
    record = read_record(adata, key)
    if "history" not in record:
        raise MissingKeyError(
            f"adata.uns['bioverse'][{key!r}] holds no history (found: {sorted(record)}). Run sb.tl.tune(adata, ...), "
            "or name another record with key=."
        )
    return pd.DataFrame(record["history"])
