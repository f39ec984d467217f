"""`sb.pl.alignment_umap`: cells and text before and after alignment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._device import Rng, as_generator, as_seed
from .._slots import Slots, anndata_of, slot_of
from ..errors import InputError
from ._alignment_modalities import draw_modalities
from ._alignment_panels import (
    LEGEND_ROWS,
    Kind,
    described,
    draw_legend,
    draw_panel,
    label_column,
    lay_out,
    some_general,
    spaces,
    two_axes,
)
from ._layout import check_stored
from ._style import NOT_TYPES, finish
from ._style import palette as default_palette

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ..models import BioVerse


def alignment_umap(
    adata: AnnData | Mapping[str, AnnData],
    *,
    model: str | Path | BioVerse = "bioverse-small",
    label_key: str | Mapping[str, str] | None = None,
    use_rep: str | None = None,
    n_general: int = 150,
    max_cells: int = 3000,
    palette: Mapping[str, str] | None = None,
    rng: Rng = None,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    return_fig: bool | None = None,
) -> Figure | list[Axes] | None:
    """Show cells, the texts of their labels and unrelated text, before and after alignment.

    *Before* puts the encoder's raw embeddings and the language model's raw representations of the texts (mean hidden
    state of the layer that the model's text space reads) side by side: each vector divided by its length, the shorter
    kind filled up with zeros. Nothing is fitted; the two kinds have no common space, and the picture shows it.
    *After* shows both in the model's shared space. Each map is a UMAP of all three kinds together, by cosine.

    Three numbers stand in each map, computed in the full space, never from the map: **recall@1**, the share of cells
    whose nearest text, unrelated text included, is that of their own label; the **median rank** of that text; and the
    **centroid gap** between the means of cells and label texts, of unit length (Liang et al. 2022, "Mind the gap").

    Parameters
    ----------
    adata
        Cells with embeddings, as :func:`scbioverse.tl.embed` leaves them. Or several modalities, each embedded, as
        `{"cell": cells, "molecule": drugs}`: shown in one space with their texts, coloured by modality.
    model
        Name, path or model whose spaces are shown.
    label_key
        Column of `obs` with the labels or texts, for several modalities also a mapping. If not given, `"cell_type"` or
        `"bioverse_label"`; `"text"` for molecules and proteins. Rows labelled `"unassigned"`, `"unknown"` or not at all
        are left out.
    use_rep
        Slot of `obsm` with the encoder's output, `"X_bioverse"` if not given.
    n_general, max_cells
        Number of unrelated texts. Cells drawn, at random if there are more; the numbers are computed on all. Of several
        modalities so many rows of each are drawn and measured.
    palette
        Colour by label, for those that you name; of one modality only.
    rng
        Seed or generator, for the choice of cells and texts and for the maps.
    ax
        Two axes to draw in. The legend then goes to their figure.
    show, return_fig
        Show the figure (the default), or return it and do not show it.

    Returns
    -------
    None, the two axes if `show=False`, or the figure if `return_fig=True`.

    Raises
    ------
    MissingKeyError
        The embedding or the label column is not there.
    InputError
        Fewer than two labels or cells can be shown, or `ax` does not hold two axes.
    WeightsError
        The model or its language model is not found.
    MismatchError
        The embedding was made by another encoder than the model's.

    Warns
    -----
    UserWarning
        The data have changed since they were embedded.

    Examples
    --------
    >>> sb.tl.annotate(adata)
    >>> sb.pl.alignment_umap(adata)
    """
    if ax is not None and len(ax) != 2:
        raise InputError(f"ax must hold two axes, one for each map, found {len(ax)}.")
    adata = anndata_of(adata)
    if isinstance(adata, Mapping):
        if use_rep is not None:
            raise InputError("use_rep names a slot of cells; several modalities are read where sb.tl.embed put them.")
        return draw_modalities(
            adata, model=model, label_key=label_key, n_general=n_general, max_rows=max_cells, rng=rng, ax=ax, show=show,
            return_fig=return_fig,
        )  # fmt: skip
    if label_key is not None and not isinstance(label_key, str):
        raise InputError("label_key is a mapping for several modalities only; name one column of adata.obs.")
    from ..models import load

    slot = use_rep or Slots().embedding()
    advice = "Run sb.tl.embed(adata) first, or name another slot with use_rep=."
    embeddings = np.asarray(slot_of(adata, "obsm", slot, advice), np.float32)
    keys = ["cell_type", Slots().label] if label_key is None else [label_key]
    key = label_column(adata, keys, "adata", "Name the labels with label_key=, or run sb.tl.annotate(adata).")
    labels, codes = _labels(adata, key)
    kept = np.flatnonzero(codes >= 0)
    if len(labels) < 2 or len(kept) < 2:
        raise InputError(
            f"obs[{key!r}] gives {len(labels)} label(s) on {len(kept)} cell(s); a picture of an alignment needs two of "
            f"each. Name another column with label_key=."
        )
    embeddings, codes = embeddings[kept], codes[kept]
    generator = as_generator(rng)
    seed = as_seed(generator)
    own, general = described(labels), some_general(n_general, generator)
    loaded = load(model)
    check_stored(adata, slot, loaded, "cell")
    shown = np.arange(len(codes))
    if len(shown) > max_cells:
        shown = np.sort(generator.choice(shown, max_cells, replace=False))
    kind = Kind("cell", embeddings, own, codes, shown)
    before, after = spaces(loaded, {"cell": embeddings}, own + general)
    figure, axes = two_axes(ax, 11.2 + 1.9 * -(-len(labels) // LEGEND_ROWS), 5.6)
    given = {label: hue for label, hue in (palette or {}).items() if label in labels}
    hues = list((default_palette(adata, key, labels) | given).values())
    for axis, title, subtitle, (rows, points) in (
        (axes[0], "Before", "encoder and language model as they come", before),
        (axes[1], "After", "one space, learned from cells and texts", after),
    ):
        draw_panel(axis, title, subtitle, kind, lay_out([kind], rows, points, seed), hues)
    draw_legend(figure, labels, hues, title=key)
    return finish(figure, axes, show=show, return_fig=return_fig)


def _labels(adata: AnnData, key: str) -> tuple[list[str], NDArray[np.int64]]:
    """Names in the order of the column's categories, and a code for each cell, -1 for one without a type."""
    column = adata.obs[key].astype("category")
    names = list(map(str, column.cat.categories))
    used = np.bincount(column.cat.codes[column.cat.codes >= 0], minlength=len(names)) > 0
    real = [i for i, name in enumerate(names) if used[i] and name.strip().lower() not in NOT_TYPES]
    code = np.full(len(names) + 1, -1, np.int64)  # the last entry serves the code -1
    code[real] = np.arange(len(real))
    return [names[i] for i in real], code[column.cat.codes.to_numpy()]
