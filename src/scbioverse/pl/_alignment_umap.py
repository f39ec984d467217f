"""`sb.pl.alignment_umap`: cells and text before and after alignment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from .._device import Rng, as_generator, as_seed
from .._slots import Slots, anndata_of, slot_of
from ..errors import InputError, check_columns
from ..predict.descriptions import plain_texts
from ..predict.embedding import tokens_in
from ._alignment_panels import (
    LEGEND_ROWS,
    Kind,
    described,
    draw_cells,
    draw_modalities,
    explain_labels,
    explain_modalities,
    lay_out,
    some_general,
    spaces,
    two_axes,
)
from ._layout import check_stored
from ._style import PALETTE, finish, is_no_type
from ._style import palette as default_palette

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
        Number of unrelated texts. Cells drawn, at random if there are more; the numbers are computed on all. Of
        molecules and proteins so many are drawn and measured.
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
    from ..models import load

    if ax is not None and len(ax) != 2:
        raise InputError(f"ax must hold two axes, one for each map, found {len(ax)}.")
    adata = anndata_of(adata)
    several = isinstance(adata, Mapping)
    if several and use_rep is not None:
        raise InputError("use_rep names a slot of cells; several modalities are read where sb.tl.embed put them.")
    if isinstance(label_key, Mapping) and not several:
        raise InputError("label_key is a mapping for several modalities only; name one column of adata.obs.")
    data: Mapping[str, AnnData] = adata if isinstance(adata, Mapping) else {"cell": adata}
    if not data:
        raise InputError("no modality to show: pass {'cell': adata, 'molecule': adata, ...}.")
    keys = label_key if isinstance(label_key, Mapping) else dict.fromkeys(data, label_key)
    generator, loaded = as_generator(rng), load(model)
    seed, general = as_seed(generator), some_general(n_general, generator)
    kinds = [_kind(name, one, loaded, use_rep, keys.get(name), max_cells, generator) for name, one in data.items()]
    texts = [*(text for kind in kinds for text in kind.texts), *general]
    before, after = spaces(loaded, {kind.modality: kind.values for kind in kinds}, texts)
    if several:
        figure, axes = two_axes(ax, 13.4, 5.9)
        hues = [[PALETTE[i % len(PALETTE)]] * len(kind.names) for i, kind in enumerate(kinds)]
        draw, explain, said = draw_modalities, explain_modalities, ("encoders", "rows and their texts")
    else:
        names = kinds[0].names
        figure, axes = two_axes(ax, 11.2 + 1.9 * -(-len(names) // LEGEND_ROWS), 5.6)
        known = default_palette(data["cell"], kinds[0].key, names)
        hues = [[(palette or {}).get(name, known[name]) for name in names]]
        draw, explain, said = draw_cells, explain_labels, ("encoder", "cells and texts")
    titles = ("Before", f"{said[0]} and language model as they come"), ("After", f"one space, learned from {said[1]}")
    for axis, title, (rows, points) in zip(axes, titles, (before, after), strict=True):
        draw(axis, title, kinds, lay_out(kinds, rows, points, seed), hues)
    explain(figure, kinds, hues)
    return finish(figure, axes, show=show, return_fig=return_fig)


def _kind(
    modality: str, adata: AnnData, model: BioVerse, use_rep: str | None, label_key: str | None, most: int,
    generator: np.random.Generator,
) -> Kind:  # fmt: skip
    """Read rows of a modality, and the texts that belong to them: of cells descriptions of their labels."""
    model.check_modality(modality)
    adata, slot = anndata_of(adata, modality), use_rep or Slots().embedding(modality)
    advice = f"Run sb.tl.embed(adata, modality={modality!r}) first, or name another slot with use_rep=."
    values = tokens_in(slot_of(adata, "obsm", slot, advice))
    check_stored(adata, slot, model, modality)
    cells = modality == "cell"
    keys = (label_key,) if label_key else ("cell_type", Slots().label) if cells else ("text",)
    held = [one for one in keys if one in adata.obs]
    advice = "Name labels or texts with label_key=, or run sb.tl.annotate(adata)."
    check_columns(adata.obs, () if held else keys, advice, table=f"the AnnData of {modality!r}")
    key = held[0]
    said = np.array(plain_texts(adata.obs[key]), dtype=object)
    fine = np.isfinite(values).all(axis=(1, 2)) & ~np.array(list(map(is_no_type, said)))
    rows = np.flatnonzero(fine)
    shown = np.sort(generator.choice(rows, most, replace=False)) if len(rows) > most else rows
    # Of cells all are measured, for they have few texts.
    rows = rows if cells else shown
    categories = plain_texts(adata.obs[key].astype("category").cat.categories.to_series())
    names = [name for name in dict.fromkeys(categories) if name in set(said[rows])]
    if len(names) < 2:
        raise InputError(
            f"obs[{key!r}] of {modality!r} gives {len(names)} label(s) or text(s) on {len(rows)} row(s); a picture of "
            "an alignment needs two of each. Name another column with label_key=."
        )
    at = {name: i for i, name in enumerate(names)}
    codes = np.array([at[one] for one in said[rows]], dtype=np.int64)
    texts = described(names) if cells else names
    return Kind(modality, key, values[rows], names, texts, codes, np.flatnonzero(np.isin(rows, shown)))
