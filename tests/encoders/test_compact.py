from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scbioverse.encoders import CompactCellEncoder, build, embed_rows
from scbioverse.encoders.compact import CompactNet, GeneStats
from scbioverse.errors import InputError, MismatchError, MissingKeyError, WeightsError
from scbioverse.io import Cells
from scbioverse.knowledge.genes import load_genes
from tests._dense_zscores import panel_zscores
from tests._precision import LOGS, SMALL_NET


def embed(encoder: CompactCellEncoder, adata: ad.AnnData, **kwargs: Any) -> np.ndarray:
    return embed_rows(encoder, adata, progress=False, **kwargs)


def dense_reference(encoder: CompactCellEncoder, adata: ad.AnnData) -> np.ndarray:
    """The whole network on dense z-scores, genes picked by name."""
    vocab = {gene: i for i, gene in enumerate(encoder.stats.genes)}
    columns = [i for i, name in enumerate(adata.var_names) if name in vocab]
    z = panel_zscores(adata.X.toarray()[:, columns], encoder.stats, [vocab[adata.var_names[i]] for i in columns])
    with torch.inference_mode():
        return encoder.net(torch.from_numpy(z)).unsqueeze(1).numpy()


def test_sparse_first_layer_equals_the_dense_network(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    reference = dense_reference(encoder, cells)
    assert reference.std(axis=0).min() > 1e-2
    np.testing.assert_allclose(embed(encoder, cells), reference, atol=SMALL_NET)


def test_sparse_equals_dense_on_real_cells_where_zeros_are_clipped() -> None:
    import scbioverse as sb

    cells = sb.datasets.pbmc3k()[:50].copy()
    rng = np.random.default_rng(0)
    n = cells.n_vars
    # sd down to 0.01: the z-score of a silent gene lies beyond the clip for many genes.
    stats = GeneStats(tuple(cells.var_names), rng.random(n), rng.random(n) + 0.01, rng.gamma(0.3, 1, n), 1e4)
    torch.manual_seed(0)
    encoder = CompactCellEncoder(CompactNet(n, 64, 32), stats)
    assert (stats.panel().zero == -4).mean() > 0.05
    np.testing.assert_allclose(embed(encoder, cells), dense_reference(encoder, cells), atol=SMALL_NET)


@pytest.mark.parametrize("batch_size", [1, 7, 40, 512])
def test_batch_size_does_not_matter(encoder: CompactCellEncoder, cells: ad.AnnData, batch_size: int) -> None:
    np.testing.assert_allclose(embed(encoder, cells, batch_size=batch_size), embed(encoder, cells), atol=SMALL_NET)


def test_row_order_and_neighbours_do_not_matter(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    order = np.random.default_rng(0).permutation(40)[:17]
    np.testing.assert_allclose(embed(encoder, cells[order].copy()), embed(encoder, cells)[order], atol=SMALL_NET)
    np.testing.assert_allclose(embed(encoder, cells[order]), embed(encoder, cells)[order], atol=SMALL_NET)  # a view


def test_gene_order_does_not_matter(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    order = np.random.default_rng(0).permutation(cells.n_vars)
    np.testing.assert_allclose(embed(encoder, cells[:, order].copy()), embed(encoder, cells), atol=SMALL_NET)


@pytest.mark.parametrize("base", [np.e, 2.0])
def test_log_values_give_what_counts_give(
    encoder: CompactCellEncoder, cells: ad.AnnData, base: float, caplog: pytest.LogCaptureFixture
) -> None:
    logs = cells.copy()
    counts = cells.X.toarray()
    logs.X = sp.csr_matrix(np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4) / np.log(base)).astype(np.float32)
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        np.testing.assert_allclose(embed(encoder, logs), embed(encoder, cells), atol=LOGS)
    assert ("natural-log values" if base != 2 else "log2 values") in caplog.text
    assert "190 of 210 vocabulary genes found among 200" in caplog.text


@pytest.mark.parametrize("storage", ["csc", "dense", "float64", "int32", "backed", "backed csc", "layer", "raw"])
def test_storage_does_not_matter(encoder: CompactCellEncoder, cells: ad.AnnData, storage: str, tmp_path: Path) -> None:
    expected, layer, other = embed(encoder, cells), None, cells.copy()
    if storage == "layer":
        other.layers["counts"] = cells.X
        other.X, layer = -cells.X, "counts"
    elif storage == "raw":
        other.raw = cells
        other = other[:, :3].copy()
        other.X, layer = -other.X, "raw"
    elif storage == "dense":
        other.X = cells.X.toarray()
    elif "csc" in storage:
        other.X = cells.X.tocsc()
    elif "backed" not in storage:
        other.X = cells.X.astype(storage)
    if "backed" in storage:
        other.write_h5ad(tmp_path / "a.h5ad")
        other = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    np.testing.assert_allclose(embed(encoder, other, layer=layer, batch_size=16), expected, atol=SMALL_NET)
    if "backed" in storage:
        other.file.close()


def test_ensembl_ids_and_a_column_of_names(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    ids = {symbol: one for one, symbol in reversed(load_genes().ensembl.items())}
    kept = [name for name in cells.var_names if name in ids]
    symbols = cells[:, kept].copy()
    renamed = symbols.copy()
    renamed.var_names = [f"{ids[name]}.{i % 20}" for i, name in enumerate(kept)]
    np.testing.assert_allclose(embed(encoder, renamed), embed(encoder, symbols), atol=SMALL_NET)
    renamed.var["symbol"] = kept
    renamed.var_names = [f"p{i}" for i in range(len(kept))]
    np.testing.assert_allclose(embed(encoder, renamed, key="symbol"), embed(encoder, symbols), atol=SMALL_NET)


def test_a_cell_without_counts_is_told_and_embedded(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    values = cells.X.toarray()
    values[[3, 8], :] = 0
    values[8, -1] = 5  # a gene outside the vocabulary
    cells.X = sp.csr_matrix(values)
    with pytest.warns(UserWarning, match="2 of 40 rows are empty"):
        found = embed(encoder, cells)
    np.testing.assert_allclose(found, dense_reference(encoder, cells), atol=SMALL_NET)
    np.testing.assert_array_equal(found[3], found[8])


def test_explicit_zeros_do_not_matter(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    values = cells.X.toarray()
    values[5] = 0
    plain, stored = cells.copy(), cells.copy()
    plain.X = sp.csr_matrix(values)
    full = np.ones_like(values)
    stored.X = sp.csr_matrix(full)
    stored.X.data[:] = values.ravel()
    with pytest.warns(UserWarning, match="1 of 40 rows are empty"):
        expected = embed(encoder, plain)
    with pytest.warns(UserWarning, match="1 of 40 rows are empty"):
        np.testing.assert_allclose(embed(encoder, stored), expected, atol=SMALL_NET)


def test_no_rows_encode_to_no_rows(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    assert encoder.encode(encoder.prepare(Cells.of(cells), slice(0, 0))).shape == (0, 1, 8)


def test_too_few_genes_are_refused(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    with pytest.raises(InputError, match=r"40 of 40 genes match.*at least 50"):
        embed(encoder, cells[:, :40].copy())


def test_bad_matrices_and_names_are_refused_before_anything_is_read(
    encoder: CompactCellEncoder, cells: ad.AnnData
) -> None:
    with pytest.raises(MissingKeyError, match="layer 'nope'"):
        embed(encoder, cells, layer="nope")
    scaled = cells.copy()
    scaled.X = scaled.X.toarray() - 1
    with pytest.raises(InputError, match=r"adata\.X has negative values"):
        embed(encoder, scaled)
    twice = cells.copy()
    twice.var_names = ["LYZ", "LYZ", *cells.var_names[2:]]
    with pytest.raises(InputError, match="more than once"):
        embed(encoder, twice)


def test_the_summary_says_what_matched(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    summary = encoder.summary(Cells.of(cells))
    assert (summary["n_genes"], summary["n_genes_vocabulary"], summary["scale"]) == (190, 210, "counts")
    assert 0 < summary["panel_share"] < 1
    json.dumps(summary)


def test_folder_gives_the_same_encoder_back(encoder: CompactCellEncoder, cells: ad.AnnData, tmp_path: Path) -> None:
    encoder.save(tmp_path / "cell")
    again = build("compact", tmp_path / "cell")
    assert isinstance(again, CompactCellEncoder)
    assert again.fingerprint() == encoder.fingerprint()
    assert (again.name, again.dim, again.min_genes, again.kind) == ("tiny", 8, 50, "compact")
    np.testing.assert_allclose(embed(again, cells), embed(encoder, cells), atol=SMALL_NET)
    again.save(tmp_path / "twice")
    for file in ("encoder.safetensors", "genes.txt.gz", "encoder.json"):
        assert (tmp_path / "cell" / file).read_bytes() == (tmp_path / "twice" / file).read_bytes()


def test_files_are_half_precision(encoder: CompactCellEncoder, tmp_path: Path) -> None:
    encoder.save(tmp_path)
    n_values = sum(p.numel() for p in encoder.net.parameters())
    assert (tmp_path / "encoder.safetensors").stat().st_size < 2 * n_values + 3 * 4 * 210 + 4000


def test_fingerprint_follows_weights_and_statistics(encoder: CompactCellEncoder, stats: GeneStats) -> None:
    prints = {encoder.fingerprint()}
    net = encoder.net
    prints.add(CompactCellEncoder(net, stats, name="another name", min_genes=3).fingerprint())
    assert len(prints) == 1
    other = GeneStats(stats.genes, stats.mean + 1e-3, stats.sd, stats.profile, stats.target_sum)
    prints.add(CompactCellEncoder(net, other, name="tiny", min_genes=50).fingerprint())
    swapped = GeneStats(stats.genes[::-1], stats.mean, stats.sd, stats.profile, stats.target_sum)
    prints.add(CompactCellEncoder(net, swapped, name="tiny", min_genes=50).fingerprint())
    changed = CompactNet(stats.n_genes, 16, 8, 2)
    prints.add(CompactCellEncoder(changed, stats, name="tiny", min_genes=50).fingerprint())
    assert len(prints) == 4


def test_the_network_handed_in_is_left_alone(stats: GeneStats) -> None:
    net = CompactNet(stats.n_genes, 16, 8)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    CompactCellEncoder(net, stats)
    assert net.training
    assert all(p.requires_grad for p in net.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_number_of_threads_is_put_back(encoder: CompactCellEncoder, cells: ad.AnnData) -> None:
    before = torch.get_num_threads()
    batch = encoder.prepare(Cells.of(cells), slice(0, 4))
    torch.set_num_threads(before + 1)
    try:
        encoder.encode(batch)
        assert torch.get_num_threads() == before + 1
        with pytest.raises(ValueError, match="same shape"):
            encoder.encode(batch._replace(values=batch.values[:-1]))
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_network_and_statistics_must_fit(stats: GeneStats) -> None:
    with pytest.raises(InputError, match="reads 5 genes, the statistics hold 210"):
        CompactCellEncoder(CompactNet(5, 16, 8), stats)


@pytest.mark.parametrize("file", ["encoder.safetensors", "genes.txt.gz", "encoder.json"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "empty"])
def test_damaged_folders_are_refused(encoder: CompactCellEncoder, tmp_path: Path, file: str, damage: str) -> None:
    path = encoder.save(tmp_path) / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 if damage == "truncated" else 0])
    with pytest.raises(WeightsError):
        CompactCellEncoder.from_folder(tmp_path)


@pytest.mark.parametrize(
    "change",
    [{"n_genes": 209}, {"hidden": 17}, {"n_blocks": 1}, {"version": 2}, {"preprocessing": "other"}, {"clip": [1]}],
)
def test_parts_that_do_not_fit_are_refused(encoder: CompactCellEncoder, tmp_path: Path, change: dict[str, Any]) -> None:
    path = encoder.save(tmp_path) / "encoder.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(WeightsError):
        CompactCellEncoder.from_folder(tmp_path)


def test_errors_are_of_the_package() -> None:
    assert issubclass(MismatchError, ValueError)
    assert issubclass(WeightsError, OSError)
