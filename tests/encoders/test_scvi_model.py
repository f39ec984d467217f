"""SCVI and SCANVI models, trained for a moment on few cells, as encoders."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
import torch

import scbioverse as sb
from scbioverse.encoders import ScviEncoder, build, embed_rows, resolve_encoder
from scbioverse.encoders._unpickle import Inert, load_torch_file
from scbioverse.errors import InputError, MissingKeyError, WeightsError
from tests._precision import SMALL_NET

N_GENES = 60


def cells(n: int = 200, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, n)
    counts = rng.poisson(0.2 + 2 * (np.arange(N_GENES) % 2 == kind[:, None]), (n, N_GENES)).astype(np.float32)
    adata = ad.AnnData(sp.csr_matrix(counts))
    adata.var_names = [f"g{i}" for i in range(N_GENES)]
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.obs["study"] = np.where(np.arange(n) % 3 == 0, "a", "b")
    adata.obs["label"] = np.where(kind == 1, "B cell", "T cell")
    adata.obs["age"] = rng.random(n)
    return adata


class Trained:
    """Models and the data they were trained on."""

    def __init__(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import scvi
            from scvi.model import SCANVI, SCVI

            scvi.settings.verbosity = logging.ERROR
            logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
            scvi.settings.seed = 0
            fit = {"accelerator": "cpu", "enable_progress_bar": False, "train_size": 1.0}
            self.data = cells()
            SCVI.setup_anndata(self.data, batch_key="study")
            self.scvi = SCVI(self.data, n_latent=4, n_hidden=16)
            self.scvi.train(max_epochs=4, **fit)
            self.scanvi = SCANVI.from_scvi_model(self.scvi, labels_key="label", unlabeled_category="unknown")
            self.scanvi.train(max_epochs=2, **fit)
            self.covariates_data = cells(seed=1)
            self.covariates_data.layers["counts"] = self.covariates_data.X.copy()
            SCVI.setup_anndata(
                self.covariates_data, layer="counts", batch_key="study", categorical_covariate_keys=["label"],
                continuous_covariate_keys=["age"],
            )  # fmt: skip
            self.covariates = SCVI(self.covariates_data, n_latent=4, n_hidden=16, encode_covariates=True)
            self.covariates.train(max_epochs=1, **fit)
            self.untrained = SCVI(self.data, n_latent=4)
            self.query = SCVI.prepare_query_anndata


@pytest.fixture(scope="module")
def trained() -> Trained:
    try:
        # Warnings of scvi-tools' own packages are kept out; those of this package stay errors.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import scvi  # noqa: F401
    except ImportError as error:
        pytest.skip(str(error))
    return Trained()


def latent(model: Any, adata: ad.AnnData) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(model.get_latent_representation(adata))


def embed(encoder: Any, adata: ad.AnnData, **options: Any) -> np.ndarray:
    return embed_rows(encoder, adata, progress=False, **options)[:, 0]


@pytest.mark.parametrize("name", ["scvi", "scanvi", "covariates"])
def test_embedding_is_the_models_own(trained: Trained, name: str, tmp_path: Path) -> None:
    model = getattr(trained, name)
    data = trained.covariates_data if name == "covariates" else trained.data
    wanted = latent(model, data)
    assert wanted.std(axis=0).min() > 1e-3
    encoder = ScviEncoder(model)
    for batch_size in (7, 512):
        np.testing.assert_allclose(embed(encoder, data, batch_size=batch_size), wanted, atol=SMALL_NET)
    model.save(tmp_path / "m")
    loaded = ScviEncoder.load(tmp_path / "m")
    assert loaded.fingerprint() == encoder.fingerprint()
    np.testing.assert_allclose(embed(loaded, data), wanted, atol=SMALL_NET)
    encoder.save(tmp_path / "e")
    assert sorted(one.name for one in (tmp_path / "e").iterdir()) == ["encoder.json", "scvi.json", "scvi.safetensors"]
    again = build("scvi", tmp_path / "e")
    assert again.fingerprint() == encoder.fingerprint()
    np.testing.assert_allclose(embed(again, data), wanted, atol=SMALL_NET)


def test_missing_genes_are_filled_with_zeros_as_scvi_tools_does(
    trained: Trained, caplog: pytest.LogCaptureFixture
) -> None:
    query = cells(40, seed=9)[:, np.random.default_rng(0).permutation(N_GENES)[:51]].copy()
    query = ad.concat([query, query[:, :2].copy()], axis=1, index_unique="-", merge="same")
    query.var_names = [name.removesuffix("-0") for name in query.var_names]  # "gN-1" are genes that the model lacks
    query.obs["study"] = "a"
    before = query.copy()
    mapped = query.copy()
    trained.query(mapped, trained.scvi)
    wanted = latent(trained.scvi, mapped)
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        sb.tl.embed(query, model=trained.scvi)
    np.testing.assert_allclose(query.obsm["X_bioverse"], wanted, atol=SMALL_NET)
    assert "51 of 60 reference genes found (85.0 %), 9 filled with zeros" in caplog.text
    assert list(query.obs) == list(before.obs)
    assert list(query.var_names) == list(before.var_names)
    assert set(query.uns) == {"bioverse"}
    np.testing.assert_array_equal(query.X.toarray(), before.X.toarray())
    few = cells(10)[:, :20].copy()
    with pytest.warns(UserWarning, match="only 20 of 60 reference genes"):
        sb.tl.embed(few, model=trained.scvi)


def test_new_batches_are_embedded_where_the_encoder_does_not_read_them(trained: Trained) -> None:
    data = cells(30, seed=3)
    wanted = embed(ScviEncoder(trained.scvi), data)
    data.obs["study"] = "never seen"
    np.testing.assert_array_equal(embed(ScviEncoder(trained.scvi), data), wanted)
    del data.obs["study"]
    np.testing.assert_array_equal(embed(ScviEncoder(trained.scvi), data), wanted)


def test_covariates_that_the_encoder_reads_must_be_known(trained: Trained) -> None:
    encoder, data = ScviEncoder(trained.covariates), cells(30, seed=3)
    other = data.copy()
    other.obs["study"] = np.where(data.obs["study"] == "a", "b", "a")
    assert np.abs(embed(encoder, other) - embed(encoder, data)).max() > 1e-3
    other.obs["study"] = "new"
    with pytest.raises(InputError, match=r"categories that the model's encoder does not know: \['new'\].*load_query"):
        embed(encoder, other)
    del other.obs["age"]
    other.obs["study"] = "a"
    with pytest.raises(MissingKeyError, match=r"obs\['age'\] is missing"):
        embed(encoder, other)


def test_what_cannot_be_embedded_is_refused(trained: Trained) -> None:
    encoder, data = ScviEncoder(trained.scvi), cells(20)
    logs = data.copy()
    logs.X = sp.csr_matrix(data.X.multiply(1e4 / data.X.sum(axis=1))).log1p()
    with pytest.raises(InputError, match="holds logarithms"):
        embed(encoder, logs)
    logs.layers["counts"] = data.X
    np.testing.assert_array_equal(embed(encoder, logs, layer="counts"), embed(encoder, data))
    data.var["symbol"] = data.var_names.copy()
    data.var_names = [f"x{i}" for i in range(N_GENES)]
    with pytest.raises(InputError, match=r"none of the 60 reference genes .*pass key='symbol'"):
        embed(encoder, data)
    assert embed(encoder, data, key="symbol").shape == (20, 4)
    data.var["symbol"] = ["g1"] * N_GENES
    with pytest.raises(InputError, match=r"1 reference genes occur more than once in the data: \['g1'\]"):
        embed(encoder, data, key="symbol")
    with pytest.raises(InputError, match="is not trained"):
        ScviEncoder(trained.untrained)
    with pytest.raises(InputError, match="class Linear"):
        ScviEncoder(torch.nn.Linear(1, 1))


def test_training_on_does_not_change_the_encoder(trained: Trained) -> None:
    encoder = ScviEncoder(trained.scvi)
    before, mark = embed(encoder, trained.data), encoder.fingerprint()
    state = {key: value.clone() for key, value in trained.scvi.module.state_dict().items()}
    with torch.no_grad():
        for one in trained.scvi.module.parameters():
            one.add_(1)
    np.testing.assert_array_equal(embed(encoder, trained.data), before)
    changed = ScviEncoder(trained.scvi).fingerprint()
    trained.scvi.module.load_state_dict(state)
    assert mark == ScviEncoder(trained.scvi).fingerprint() != changed


def test_embed_and_align_take_model_folder_and_hub_id(
    trained: Trained, tmp_path: Path, tiny_llm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, wanted = cells(60, seed=4), embed(ScviEncoder(trained.scvi), cells(60, seed=4))
    trained.scvi.save(tmp_path / "hub" / "m")
    sb.tl.embed(data, model=tmp_path / "hub" / "m")
    np.testing.assert_array_equal(data.obsm["X_bioverse"], wanted)
    kept = tmp_path / "hub" / "models--scvi-tools--tiny" / "snapshots" / ("c" * 40)
    shutil.copytree(tmp_path / "hub" / "m", kept)
    (kept / "_scvi_required_metadata.json").write_text("{}")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(sb.settings, "offline", True)
    again = sb.tl.embed(data, model=f"scvi-tools/tiny@{'c' * 40}", copy=True)
    np.testing.assert_array_equal(again.obsm["X_bioverse"], wanted)
    assert resolve_encoder("somebody/else") is None
    assert resolve_encoder("bioverse-small") is None
    model = sb.tl.align(data, text_key="label", model=trained.scvi, llm=str(tiny_llm), steps=4, general_text=False)
    sb.tl.annotate(data, model=model, labels=["B cell", "T cell"], method="nearest")
    model.save(tmp_path / "saved")
    fresh = cells(60, seed=4)
    sb.tl.annotate(fresh, model=sb.models.load(tmp_path / "saved"), labels=["B cell", "T cell"], method="nearest")
    assert fresh.obs["bioverse_label"].tolist() == data.obs["bioverse_label"].tolist()
    assert not list((tmp_path / "saved").rglob("*.pt"))


def test_a_saved_model_with_code_is_refused_and_does_not_run(trained: Trained, tmp_path: Path) -> None:
    mark = tmp_path / "ran"

    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    trained.scvi.save(tmp_path / "m")
    content = load_torch_file(tmp_path / "m" / "model.pt")
    assert isinstance(content["attr_dict"]["history_"]["elbo_train"], Inert)  # a pandas table: not rebuilt
    content["attr_dict"]["history_"] = Bomb()
    torch.save(content, tmp_path / "m" / "model.pt")
    with pytest.raises(WeightsError, match=r"asks for posix\.system"):
        sb.tl.embed(cells(5), model=tmp_path / "m")
    torch.save(content, tmp_path / "m" / "model.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(WeightsError, match="refused or damaged"):
        sb.tl.embed(cells(5), model=tmp_path / "m")
    assert not mark.exists()


@pytest.mark.parametrize(
    "target", ["builtins.eval", "builtins.getattr", "subprocess.Popen", "torch.load", "os.path.join"]
)
def test_other_ways_to_code_are_refused_or_inert(tmp_path: Path, target: str) -> None:
    module, name = target.rsplit(".", 1)
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        program = f"c{module}\n{name}\n(X\x01\x00\x00\x00atR.".encode()
        archive.writestr("x/data.pkl", b"\x80\x02" + program)
        archive.writestr("x/version", "3\n")
        archive.writestr("x/byteorder", "little")
    with pytest.raises(WeightsError, match=r"asks for|holds Inert"):
        load_torch_file(tmp_path / "x.pt")


@pytest.mark.parametrize("damage", ["absent", "cut", "text", "list", "not scvi"])
def test_damaged_folders_are_refused(trained: Trained, tmp_path: Path, damage: str) -> None:
    trained.scvi.save(tmp_path / "m")
    file = tmp_path / "m" / "model.pt"
    if damage == "absent":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:2000])
    elif damage == "text":
        file.write_text("no model")
    else:
        torch.save([1] if damage == "list" else {"state": torch.ones(2)}, file)
    with pytest.raises(WeightsError):
        ScviEncoder.load(tmp_path / "m")


@pytest.mark.parametrize("file", ["encoder.json", "scvi.json", "scvi.safetensors"])
def test_damaged_encoders_are_refused(trained: Trained, tmp_path: Path, file: str) -> None:
    folder = ScviEncoder(trained.scvi).save(tmp_path / "e")
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / file).write_bytes((copy / file).read_bytes()[:-10])
    with pytest.raises(WeightsError):
        build("scvi", copy)


def test_scvi_is_imported_late() -> None:
    code = (
        "import sys, scbioverse as sb; sb.encoders.ScviEncoder; sb.encoders.resolve_encoder('x');"
        "print([m for m in ('scvi', 'lightning') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
