"""Geneformer on tiny random bodies of the real class: what is read, pooled, batched, saved and refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scbioverse as sb
from scbioverse.encoders import Encoder, GeneformerEncoder, SavableEncoder, build, embed_rows, resolve_encoder
from scbioverse.encoders._rank_value import RankVocabulary
from scbioverse.encoders.geneformer import length_batches, pick_dtype
from scbioverse.errors import InputError, MismatchError, OfflineError, WeightsError
from scbioverse.io import Cells
from tests._precision import STATES

N_GENES, LONGEST = 150, 24


def tables(v2: bool) -> dict[str, dict[str, Any]]:
    special = ["<pad>", "<mask>", "<cls>", "<eos>"] if v2 else ["<pad>", "<mask>"]
    genes = [f"ENSG{90_000_000_000 + i}" for i in range(N_GENES)]
    rng = np.random.default_rng(5)
    return {
        "tokens": {name: i for i, name in enumerate([*special, *genes])},
        "medians": dict(zip(genes, rng.uniform(1, 4, N_GENES).tolist(), strict=True)),
        "symbols": {f"G{i}": gene for i, gene in enumerate(genes)},
    }


def save_geneformer(folder: Path, *, v2: bool = True, dictionaries: bool = True) -> Path:
    """Write a tiny masked-language model and its dictionaries, laid out as published."""
    from transformers import BertConfig, BertForMaskedLM

    found = tables(v2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(found["tokens"]), hidden_size=16, num_hidden_layers=3, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=LONGEST, initializer_range=0.5, pad_token_id=0,
        )  # fmt: skip
        BertForMaskedLM(config).save_pretrained(folder)
    if dictionaries:
        place = folder.parent / "geneformer"
        place.mkdir(exist_ok=True)
        generation = "gc104M" if v2 else "gc30M"
        for name, file in (("tokens", "token"), ("medians", "gene_median")):
            (place / f"{file}_dictionary_{generation}.pkl").write_bytes(pickle.dumps(found[name]))
        (place / f"gene_name_id_dict_{generation}.pkl").write_bytes(pickle.dumps(found["symbols"]))
    return folder


def cells(n: int = 30, seed: int = 0) -> ad.AnnData:
    """Cells of very different numbers of genes, some with more than fit and one without any."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.uniform(0.01, 0.6, (n, 1)), (n, N_GENES)).astype(np.float32)
    counts[:, 0] += 1
    counts[3] = 0
    adata = ad.AnnData(sp.csr_matrix(counts))
    adata.var_names = [f"G{i}" for i in range(N_GENES)]
    adata.obs_names = [f"c{i}" for i in range(n)]
    return adata


def embed(encoder: Encoder, adata: ad.AnnData, **options: Any) -> np.ndarray:
    with pytest.warns(UserWarning, match="rows are empty") if (adata.X.sum(axis=1) == 0).any() else nothing():
        return embed_rows(encoder, adata, progress=False, **options)[:, 0]


class nothing:  # noqa: N801
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.fixture(scope="module", params=[False, True], ids=["v1", "v2"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_geneformer(tmp_path_factory.mktemp("gf") / "Geneformer-tiny", v2=request.param)


def load(folder: Path, **options: Any) -> GeneformerEncoder:
    return GeneformerEncoder.load(folder, **{"min_genes": 10, "device": "cpu"} | options)


@pytest.mark.parametrize("layer", [-2, -1, 0])
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_embedding_is_the_state_of_the_layer_cell_by_cell(folder: Path, layer: int, pooling: Any) -> None:
    from transformers import BertForMaskedLM

    v2 = load(folder).vocabulary.cls is not None
    if pooling == "cls" and not v2:
        with pytest.raises(InputError, match="needs a <cls> token"):
            load(folder, pooling="cls")
        return
    encoder, data, found = load(folder, layer=layer, pooling=pooling), cells(), tables(v2)
    values = embed(encoder, data)
    whole = BertForMaskedLM.from_pretrained(folder).eval()
    for i in (0, 1, 2, 7, 29):
        row = data.X[[i]].toarray()[0]
        value = {f"ENSG{90_000_000_000 + j}": row[j] for j in np.flatnonzero(row)}
        ranked = sorted(value, key=lambda gene: (-value[gene] / found["medians"][gene], gene))
        ids = [found["tokens"][gene] for gene in ranked][: LONGEST - 2 * v2]
        ids = [2, *ids, 3] if v2 else ids
        with torch.inference_mode():
            states = whole(torch.tensor([ids]), output_hidden_states=True).hidden_states[3 + layer][0]
        wanted = states[0] if pooling == "cls" else (states[1:-1] if v2 else states).mean(dim=0)
        np.testing.assert_allclose(values[i], wanted.numpy(), atol=STATES)
    assert np.isfinite(values).all()
    if pooling == "mean":
        assert not values[3].any()  # the cell without counts


def test_defaults_are_those_of_the_published_extraction(folder: Path) -> None:
    encoder = load(folder)
    assert encoder.pooling == ("mean" if encoder.vocabulary.cls is None else "cls")
    assert encoder.body.config.num_hidden_layers == 2  # of 3: the one above the layer read is not loaded
    assert (encoder.dim, encoder.n_tokens, encoder.modality, encoder.kind) == (16, 1, "cell", "geneformer")
    assert encoder.name == "Geneformer-tiny"
    assert isinstance(encoder, SavableEncoder)


@pytest.mark.parametrize("batch_size", [1, 7, 512])
@pytest.mark.parametrize("max_tokens", [1, 60, 100_000])
def test_batches_and_row_order_do_not_matter(folder: Path, batch_size: int, max_tokens: int) -> None:
    data, wanted = cells(), embed(load(folder), cells())
    assert wanted.std(axis=0).min() > 1e-2
    np.testing.assert_allclose(
        embed(load(folder, max_tokens=max_tokens), data, batch_size=batch_size), wanted, atol=STATES
    )
    order = np.random.default_rng(0).permutation(data.n_obs)
    np.testing.assert_allclose(embed(load(folder), data[order].copy()), wanted[order], atol=STATES)


def test_special_tokens_stand_around_the_genes(folder: Path) -> None:
    encoder, data = load(folder), cells()
    batch = encoder.prepare(Cells.of(data), slice(0, 30))
    assert batch.n_empty == 1
    assert batch.lengths.max() == LONGEST
    if encoder.vocabulary.cls is not None:
        stops = np.cumsum(batch.lengths)
        assert (batch.ids[stops - 1] == 3).all()
        assert (batch.ids[stops - batch.lengths] == 2).all()
        assert batch.lengths[3] == 2
        assert ((batch.ids == 2) | (batch.ids == 3)).sum() == 60


def test_little_is_padded() -> None:
    lengths = np.random.default_rng(0).integers(0, 2000, 300)
    groups = list(length_batches(lengths, 8192))
    assert sorted(np.concatenate(groups).tolist()) == np.flatnonzero(lengths).tolist()
    padded = sum(len(rows) * int(lengths[rows].max()) for rows in groups)
    assert padded < 1.1 * lengths.sum()
    assert all(len(rows) * int(lengths[rows].max()) <= 8192 for rows in groups)
    assert [rows.tolist() for rows in length_batches(np.array([9, 20]), 5)] == [[1], [0]]


def test_out_of_memory_halves_the_batch(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder, data = load(folder, max_tokens=400), cells()
    wanted, body = embed(load(folder), data), encoder.body

    class Small(torch.nn.Module):
        config = body.config

        def forward(self, input_ids: torch.Tensor, attention_mask: Any) -> Any:
            if input_ids.numel() > 120:
                raise torch.OutOfMemoryError("the test's")
            return body(input_ids=input_ids, attention_mask=attention_mask)

    encoder.body = Small()  # type: ignore[assignment]
    np.testing.assert_allclose(embed(encoder, data), wanted, atol=STATES)
    assert "out of memory on" in caplog.text

    def never(**_: Any) -> Any:
        raise torch.OutOfMemoryError("the test's")

    encoder.body.forward = never  # type: ignore[method-assign, assignment]
    with pytest.raises(InputError, match="Memory ran out on a single one of the cells"):
        embed_rows(encoder, data, progress=False)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_near_and_changes_neither_weights_nor_fingerprint(folder: Path, dtype: Any) -> None:
    data, exact = cells(), load(folder, pooling="mean")
    half = load(folder, dtype=dtype, pooling="mean")
    values, wanted = embed(half, data), embed(exact, data)
    assert values.dtype == np.float32
    assert 0 < np.abs(values - wanted).max() < 0.1 * np.abs(wanted).max()
    assert half.fingerprint() == exact.fingerprint()
    assert pick_dtype("auto", torch.device("cpu")) is torch.float32
    with pytest.raises(InputError, match="dtype='int4'"):
        load(folder, dtype="int4")
    with pytest.raises(InputError, match="not a torch device"):
        load(folder, device="abacus")


@pytest.mark.gpu
def test_gpu_gives_what_the_cpu_gives(folder: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    wanted = embed(load(folder), cells())
    np.testing.assert_allclose(embed(load(folder, device="cuda", dtype="float32"), cells()), wanted, atol=STATES)
    assert np.abs(embed(load(folder, device="cuda"), cells()) - wanted).max() < 0.1 * np.abs(wanted).max()


def test_saved_encoder_is_the_same(folder: Path, tmp_path: Path) -> None:
    encoder, data = load(folder), cells()
    encoder.save(tmp_path / "e")
    assert not [file for file in (tmp_path / "e").rglob("*") if file.suffix in (".pkl", ".bin", ".pt")]
    again = build("geneformer", tmp_path / "e")
    assert again.fingerprint() == encoder.fingerprint()
    assert (again.name, again.pooling, again.min_genes) == (encoder.name, encoder.pooling, 10)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(embed(again, data), embed(encoder, data))
    assert load(folder, layer=0).fingerprint() != encoder.fingerprint()


@pytest.mark.parametrize("file", ["encoder.json", "vocabulary.json", "body/config.json", "body/model.safetensors"])
@pytest.mark.parametrize("damage", ["absent", "truncated"])
def test_damaged_folders_are_refused(folder: Path, tmp_path: Path, file: str, damage: str) -> None:
    path = load(folder).save(tmp_path / "e") / file
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError):
        build("geneformer", tmp_path / "e")


def test_absent_parameters_are_not_made_up(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, tmp_path / "copy")
    state = load_file(copy / "model.safetensors")
    state.pop("bert.encoder.layer.0.output.dense.weight")
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 parameters \(.*output\.dense\.weight"):
        load(copy, tokens=next(folder.parent.glob("geneformer/token*")), medians=next(folder.parent.glob("*/gene_m*")))


def test_code_and_wrong_headers_are_refused(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "root" / "model"))
    shutil.copytree(folder.parent / "geneformer", tmp_path / "root" / "geneformer")
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(WeightsError, match=r"config\.json asks for code of its own"):
        load(copy)
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "model.safetensors").write_bytes((2**63).to_bytes(8, "little") + b"{}")
    with pytest.raises(WeightsError, match=r"model\.safetensors .*is damaged or truncated"):
        load(copy)


def test_pickled_weights_and_dictionaries_with_code_are_refused(folder: Path, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    root = tmp_path / "root"
    root.mkdir()
    copy = Path(shutil.copytree(folder, root / "model"))
    shutil.copytree(folder.parent / "geneformer", root / "geneformer")
    (copy / "model.safetensors").unlink()
    (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(WeightsError, match=r"pickles \(pytorch_model\.bin\), which can run code .* refused"):
        load(copy)
    bomb = next((root / "geneformer").glob("gene_median*"))
    bomb.write_bytes(pickle.dumps({"ENSG1": Bomb()}))
    shutil.copy(folder / "model.safetensors", copy)
    with pytest.raises(WeightsError, match=r"gene_median.*is refused .it asks for posix\.system"):
        load(copy)
    assert not mark.exists()


def test_dictionaries_of_another_generation_are_refused(folder: Path, tmp_path: Path) -> None:
    other = save_geneformer(tmp_path / "other", v2=load(folder).vocabulary.cls is None)
    lone = Path(shutil.copytree(folder, tmp_path / "deep" / "lone"))
    with pytest.raises(WeightsError, match="token dictionaries found: none"):
        load(lone)
    shutil.copytree(other.parent / "geneformer", lone / "geneformer")
    with pytest.raises(WeightsError, match="no dictionaries for the model"):
        load(lone)
    body = load(folder).body
    big = tables(v2=True)
    big["tokens"]["ENSG99"] = 9999
    big["medians"]["ENSG99"] = 1.0
    with pytest.raises(MismatchError, match=r"tokens up to 9999, the body embeds 15\d"):
        GeneformerEncoder(body, RankVocabulary.from_tables(**big))


def test_other_folders_and_layers_are_refused(folder: Path, tiny_llm: Path, cache_dir: Path) -> None:
    with pytest.raises(WeightsError, match="a model of type 'llama'; expected 'bert'"):
        load(tiny_llm)
    for layer in (1, -3):
        with pytest.raises(InputError, match=r"the model has 3 layers: choose from -2 to 0"):
            load(folder, layer=layer)
    with pytest.raises(WeightsError, match="pin the revision"):
        GeneformerEncoder.load("ctheodoris/Geneformer")
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        GeneformerEncoder.load(f"nobody/nothing-at-all/Geneformer-V1-10M@{'0' * 40}")


def test_embed_takes_the_folder_and_align_keeps_it_in_the_checkpoint(
    folder: Path, tmp_path: Path, tiny_llm: Path
) -> None:
    data = cells(40)
    data = data[np.flatnonzero(np.asarray(data.X.sum(axis=1)).ravel())].copy()
    before = data.copy()
    root = tmp_path / "root"
    root.mkdir()
    copied = Path(shutil.copytree(folder, root / "model"))
    shutil.copytree(folder.parent / "geneformer", root / "geneformer")
    result = sb.tl.embed(data, model=copied, copy=True)
    assert result.obsm["X_bioverse"].shape == (39, 16)
    np.testing.assert_array_equal(data.X.toarray(), before.X.toarray())
    encoder = load(folder)
    assert resolve_encoder(encoder) is encoder
    np.testing.assert_allclose(result.obsm["X_bioverse"], embed(encoder, data), atol=STATES)
    data.obs["label"] = ["B cell", "T cell", "monocyte"] * 13
    model = sb.tl.align(data, text_key="label", model=encoder, llm=str(tiny_llm), steps=4, general_text=False)
    labels = ["B cell", "T cell"]
    sb.tl.annotate(data, model=model, labels=labels, method="nearest")
    model.save(tmp_path / "saved")
    again = sb.models.load(tmp_path / "saved")
    fresh = before[data.obs_names].copy()
    sb.tl.annotate(fresh, model=again, labels=labels, method="nearest")
    assert fresh.obs["bioverse_label"].tolist() == data.obs["bioverse_label"].tolist()
    np.testing.assert_allclose(fresh.obsm["X_bioverse"], data.obsm["X_bioverse"], atol=STATES)


def test_a_body_that_was_training_is_taken_that_was_training(folder: Path) -> None:
    from transformers import BertModel

    body = BertModel.from_pretrained(folder, add_pooling_layer=False).half().train()
    encoder = GeneformerEncoder(body, load(folder).vocabulary, device="cpu")
    assert not encoder.body.training
    assert not any(one.requires_grad or one.dtype != torch.float32 for one in encoder.body.parameters())
