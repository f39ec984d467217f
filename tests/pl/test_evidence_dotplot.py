from __future__ import annotations

import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse._slots import write_record
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.explain.reasons import reasons
from scbioverse.explain.support import EVIDENCE

IDS = {"B cell": "CL:0000236", "CD14 monocyte": "CL:0001054", "CD8 T cell": "CL:0000625", "NK cell": "CL:0000623"}


@pytest.fixture
def explained(cells: AnnData) -> AnnData:
    """Toy cells with the evidence that `annotate` would have written."""
    label = cells.obs["bioverse_label"].cat
    names = list(label.categories)
    found = reasons(cells, names, [IDS.get(name) for name in names], label.codes.to_numpy(np.int64))
    table = found.table.astype(object).where(found.table.notna(), None)
    write_record(cells, "evidence", columns=EVIDENCE, rows=table.to_numpy().tolist())
    return cells


def test_genes_stand_under_the_labels_that_cite_them(explained: AnnData) -> None:
    before = explained.copy()
    figure = sb.pl.evidence_dotplot(explained, return_fig=True, max_genes=2)
    ax = next(ax for ax in figure.axes if len(ax.get_xticklabels()) > 2)
    genes = [text.get_text() for text in ax.get_xticklabels()]
    assert len(genes) == len(set(genes))
    assert set(genes) <= set(sb.get.evidence(explained)["gene"])
    assert {text.get_text() for text in ax.get_yticklabels()} == set(explained.obs["bioverse_label"])
    assert list(explained.obs) == list(before.obs)
    assert set(explained.uns) == set(before.uns)
    assert isinstance(sb.pl.evidence_dotplot(explained, show=False), list)
    green = sb.pl.evidence_dotplot(explained, return_fig=True, palette="Greens")
    bars = [
        image.get_cmap().name
        for ax in green.axes
        for image in (*ax.images, *ax.collections)
        if image.get_array() is not None
    ]
    assert set(bars) == {"Greens"}


def test_strange_labels_are_drawn_short(explained: AnnData) -> None:
    strange = "$\\frac{1}$\n<|im_end|> ignore all " + "x" * 10_000
    record = sb.get.evidence(explained).replace({"label": {"B cell": strange}})
    rows = record.astype(object).where(record.notna(), None).to_numpy().tolist()
    write_record(explained, "evidence", columns=EVIDENCE, rows=rows)
    explained.obs["bioverse_label"] = explained.obs["bioverse_label"].cat.rename_categories({"B cell": strange})
    figure = sb.pl.evidence_dotplot(explained, return_fig=True)
    figure.canvas.draw()
    ax = next(ax for ax in figure.axes if len(ax.get_xticklabels()) > 2)
    assert max(len(text.get_text()) for text in ax.get_yticklabels()) <= 45
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    # No name is cut off when the figure is saved as it is.
    assert min(drawn.x0, drawn.y0) >= 0
    assert (drawn.x1 <= width, drawn.y1 <= height) == (True, True)
    explained.obsm["X_flat"] = np.random.default_rng(0).normal(size=(60, 2))
    umap = sb.pl.annotation_umap(explained, basis="X_flat", color="bioverse_label", return_fig=True)
    umap.canvas.draw()


def test_what_is_missing_is_named(cells: AnnData) -> None:
    with pytest.raises(MissingKeyError, match="evidence"):
        sb.pl.evidence_dotplot(cells)
    write_record(cells, "evidence", columns=EVIDENCE, rows=[])
    with pytest.raises(InputError, match="no reason cites a gene"):
        sb.pl.evidence_dotplot(cells)
    rows = [["B cell", "NOGENE1", "high", *[None] * (len(EVIDENCE) - 3)]]
    write_record(cells, "evidence", columns=EVIDENCE, rows=rows)
    with pytest.raises(InputError, match="none of the 1 cited genes"):
        sb.pl.evidence_dotplot(cells)
    del cells.obs["bioverse_label"]
    with pytest.raises(MissingKeyError, match="bioverse_label"):
        sb.pl.evidence_dotplot(cells)


def test_what_annotate_read_is_drawn(explained: AnnData) -> None:
    write_record(explained, "annotate", layer="counts", key=None)
    explained.layers["counts"] = explained.X.copy()
    before = sb.pl.evidence_dotplot(explained, layer="counts", return_fig=True)
    explained.X = explained.X.toarray() - 1.0  # as after scaling
    after = sb.pl.evidence_dotplot(explained, return_fig=True)
    dots = [figure.axes[0].collections[0] for figure in (before, after)]
    np.testing.assert_array_equal(dots[0].get_sizes(), dots[1].get_sizes())
    np.testing.assert_array_equal(dots[0].get_array(), dots[1].get_array())
    del explained.layers["counts"]
    with pytest.raises(InputError, match="negative"):  # what was read is gone: X is
        sb.pl.evidence_dotplot(explained)


def test_labels_that_were_cut_have_no_genes(explained: AnnData) -> None:
    kept = explained[explained.obs["bioverse_label"].isin(["B cell", "NK cell"])].copy()
    axes = sb.pl.evidence_dotplot(kept, show=False)
    genes = {text.get_text() for text in axes[0].get_xticklabels()}
    table = sb.get.evidence(kept)
    assert genes
    assert genes <= set(table.loc[table["label"].isin(["B cell", "NK cell"]), "gene"])
