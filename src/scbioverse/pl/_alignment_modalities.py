"""The alignment picture of several modalities: cells, molecules and proteins with their texts, in one space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._device import Rng, as_generator, as_seed
from .._slots import Slots, anndata_of, slot_of
from ..errors import InputError
from ..predict.descriptions import plain_texts
from ..predict.embedding import tokens_in
from ._alignment_panels import (
    GENERAL,
    SOFT,
    Kind,
    described,
    frame,
    label_column,
    lay_out,
    some_general,
    spaces,
    two_axes,
)
from ._layout import check_stored
from ._style import FAINT, INK, NOT_TYPES, PALETTE, finish, mark

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..models import BioVerse
    from ._alignment_panels import Map

# A label is looked up and described; anything longer is a text already.
LONGEST_LABEL = 60
MARKS = ("o", "s", "^", "D", "v")
DEFAULT_KEYS = {"cell": ("cell_type", Slots().label), "molecule": ("text",), "protein": ("text",)}


def draw_modalities(
    data: Mapping[str, AnnData],
    *,
    model: str | Path | BioVerse,
    label_key: str | Mapping[str, str] | None,
    n_general: int,
    max_rows: int,
    rng: Rng,
    ax: Sequence[Axes] | None,
    show: bool | None,
    return_fig: bool | None,
) -> Figure | list[Axes] | None:
    """Draw what :func:`scbioverse.pl.alignment_umap` documents for several modalities."""
    from ..models import load

    if not data:
        raise InputError("no modality to show: pass {'cell': adata, 'molecule': adata, ...}.")
    generator = as_generator(rng)
    seed = as_seed(generator)
    loaded = load(model)
    kinds = [_kind(one, adata, loaded, label_key, max_rows, generator) for one, adata in data.items()]
    texts = [*(text for kind in kinds for text in kind.texts), *some_general(n_general, generator)]
    panels = spaces(loaded, {kind.modality: kind.values for kind in kinds}, texts)
    figure, axes = two_axes(ax, 13.4, 5.9)
    hues = {kind.modality: PALETTE[i % len(PALETTE)] for i, kind in enumerate(kinds)}
    titles = (
        ("Before", "encoders and language model as they come"),
        ("After", "one space, learned from rows and their texts"),
    )
    for axis, (title, subtitle), (rows, points) in zip(axes, titles, panels, strict=True):
        _panel(axis, title, subtitle, kinds, lay_out(kinds, rows, points, seed), hues)
    _legend(figure, kinds, hues)
    return finish(figure, axes, show=show, return_fig=return_fig)


def _kind(
    modality: str,
    adata: AnnData,
    model: BioVerse,
    label_key: str | Mapping[str, str] | None,
    max_rows: int,
    generator: np.random.Generator,
) -> Kind:
    model.check_modality(modality)
    adata = anndata_of(adata, modality)
    slot = Slots().embedding(modality)
    advice = f"Run sb.tl.embed(adata, modality={modality!r}) first."
    values = tokens_in(slot_of(adata, "obsm", slot, advice))
    check_stored(adata, slot, model, modality)
    wanted = label_key if isinstance(label_key, str) or label_key is None else label_key.get(modality)
    keys = (wanted,) if wanted is not None else DEFAULT_KEYS.get(modality, ("text",))
    key = label_column(adata, keys, f"the AnnData of {modality!r}", f"Name it: label_key={{{modality!r}: ...}}.")
    said = plain_texts(adata.obs[key])
    fine = np.isfinite(values).all(axis=(1, 2)) & np.array([one.lower() not in NOT_TYPES for one in said])
    rows = np.flatnonzero(fine)
    if rows.size > max_rows:
        rows = np.sort(generator.choice(rows, max_rows, replace=False))
    names = list(dict.fromkeys(said[row] for row in rows))
    if len(names) < 2:
        raise InputError(f"obs[{key!r}] of {modality!r} gives {len(names)} text(s); a picture needs two.")
    at = {name: i for i, name in enumerate(names)}
    codes = np.array([at[said[row]] for row in rows], dtype=np.int64)
    # Of names of cell types the descriptions; other texts as they are.
    labels = modality == "cell" and max(map(len, names)) <= LONGEST_LABEL
    return Kind(modality, values[rows], described(names) if labels else names, codes, np.arange(len(rows)))


def _panel(ax: Axes, title: str, subtitle: str, kinds: Sequence[Kind], flat: Map, hues: Mapping[str, str]) -> None:
    lines = [("", "recall@1", "median rank", "gap")]
    for i, (kind, places, own, found) in enumerate(zip(kinds, flat.rows, flat.texts, flat.measures, strict=True)):
        hue, size = hues[kind.modality], float(np.clip(9_000 / max(len(places), 1), 4, 22))
        dots: dict[str, Any] = {"s": size, "alpha": 0.6, "linewidths": 0, "zorder": 1, "rasterized": True}
        ax.scatter(places[:, 0], places[:, 1], marker=MARKS[i % len(MARKS)], color=hue, **dots)
        star: dict[str, Any] = {"marker": "*", "edgecolors": INK, "linewidths": 0.5, "zorder": 3}
        ax.scatter(own[:, 0], own[:, 1], s=float(np.clip(6_000 / len(own), 26, 110)), color=hue, **star)
        numbers = f"{found['recall@1']:.2f}", f"{found['median_rank']:.0f}", f"{found['gap']:.2f}"
        lines.append((f"{kind.modality}s", *numbers))
    ax.scatter(flat.general[:, 0], flat.general[:, 1], s=16, marker="x", c=GENERAL, linewidths=0.8, zorder=0)
    frame(ax, title, subtitle, 0.07 + 0.05 * len(lines))
    for row, cells in enumerate(lines):
        for column, (x, text) in enumerate(zip((0.0, 0.2, 0.36, 0.56), cells, strict=True)):
            strong = bool(row and column)
            weight = "bold" if strong else "normal"
            style: dict[str, Any] = {"transform": ax.transAxes, "fontsize": 10, "zorder": 6, "va": "baseline"}
            ax.text(x, 0.965 - 0.047 * row, text, color=INK if strong else SOFT, fontweight=weight, **style)


def _legend(figure: Figure, kinds: list[Kind], hues: Mapping[str, str]) -> None:
    handles = []
    for i, kind in enumerate(kinds):
        hue = hues[kind.modality]
        handles.append(mark(f"{kind.modality} ({len(kind.codes)})", marker=MARKS[i % len(MARKS)], color=hue))
        star: dict[str, Any] = {"marker": "*", "markersize": 11, "markeredgecolor": INK, "markeredgewidth": 0.5}
        handles.append(mark(f"text of a {kind.modality} ({len(kind.texts)})", color=hue, **star))
    handles.append(mark("unrelated text", marker="x", markersize=5.5, color=FAINT))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=10, labelcolor=INK)
