from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch

from scbioverse import settings
from scbioverse.encoders import HFSequenceEncoder, build, embed_rows
from scbioverse.encoders.hf_sequence import coverage_weights, windows
from scbioverse.errors import InputError, MismatchError, OfflineError, WeightsError
from tests._precision import STATES, tolerance

PROTEINS = ["MKVLAAGIVGLLLAQWERTYHHKKDE", "MKV", "GGGSGGGSGGGSACDEFHIKLMNPQRSTVWY", "MBJOUXZK"]


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "progress", False)
    monkeypatch.setattr(settings, "offline", True)


def save_esm(folder: Path) -> Path:
    from transformers import EsmConfig, EsmModel, EsmTokenizer

    folder.mkdir(exist_ok=True)
    vocab = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(vocab))
    EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = EsmConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=66, position_embedding_type="rotary", token_dropout=True, pad_token_id=1,
        mask_token_id=len(vocab) - 1, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        EsmModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def save_protbert(folder: Path) -> Path:
    from transformers import BertConfig, BertModel, BertTokenizer

    folder.mkdir(exist_ok=True)
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"LAGVESIKRDTPNQFYMHCWX"]
    (folder / "vocab.txt").write_text("\n".join(vocab))
    BertTokenizer(str(folder / "vocab.txt"), do_lower_case=False).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        BertModel(config).save_pretrained(folder)
    return folder


def save_chemberta(folder: Path) -> Path:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaModel

    special = ["<s>", "<pad>", "</s>", "<unk>"]
    vocab = {token: i for i, token in enumerate([*special, *"CNOPSFIBrlcnos()[]=#@+-123456H/\\."])}
    tokenizer = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>",
        cls_token="<s>", sep_token="</s>",
    ).save_pretrained(folder)  # fmt: skip
    config = RobertaConfig(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=36, pad_token_id=1, initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def esm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_esm(tmp_path_factory.mktemp("esm"))


@pytest.fixture(scope="module")
def protbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_protbert(tmp_path_factory.mktemp("protbert"))


@pytest.fixture(scope="module")
def chemberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_chemberta(tmp_path_factory.mktemp("chemberta"))


def proteins(sequences: list[str]) -> ad.AnnData:
    return ad.AnnData(obs=pd.DataFrame({"sequence": sequences}, index=[f"p{i}" for i in range(len(sequences))]))


def test_windows_cover_every_position_evenly() -> None:
    for length in (1, 9, 10, 11, 25, 40):
        cuts = windows(length, 10, 3)
        total = np.zeros(length)
        for (start, stop), weights in zip(cuts, coverage_weights(length, cuts), strict=True):
            assert stop - start == min(10, length)
            total[start:stop] += weights
        np.testing.assert_allclose(total, 1 / length, rtol=tolerance(weights.dtype, 3))
    with pytest.raises(InputError, match="overlap by less"):
        windows(5, 4, 4)


def test_mean_leaves_special_tokens_out(esm: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    encoder = HFSequenceEncoder(esm, modality="protein")
    assert (encoder.dim, encoder.window) == (16, 62)
    tokenizer, model = AutoTokenizer.from_pretrained(esm), AutoModel.from_pretrained(esm).eval()
    with torch.inference_mode():
        hidden = model(**tokenizer("MKVLA", return_tensors="pt")).last_hidden_state[0]
    assert hidden.shape[0] == 7
    np.testing.assert_allclose(encoder.embed_texts(["MKVLA"])[0], hidden[1:6].mean(0).numpy(), atol=STATES)
    first = HFSequenceEncoder(esm, modality="protein", pooling="cls")
    np.testing.assert_allclose(first.embed_texts(["MKVLA"])[0], hidden[0].numpy(), atol=STATES)
    assert first.fingerprint() != encoder.fingerprint()


def test_result_depends_on_the_text_alone(esm: Path) -> None:
    encoder = HFSequenceEncoder(esm, modality="protein")
    together = embed_rows(encoder, proteins(PROTEINS))
    assert together.shape == (4, 1, 16)
    assert together.dtype == np.float32
    alone = np.concatenate([embed_rows(encoder, proteins([text])) for text in PROTEINS])
    np.testing.assert_allclose(together, alone, atol=STATES)
    np.testing.assert_allclose(embed_rows(encoder, proteins(PROTEINS[::-1]), batch_size=2)[::-1], alone, atol=STATES)


def test_long_sequences_are_windowed_by_residue(esm: Path) -> None:
    encoder = HFSequenceEncoder(esm, modality="protein", window=20, overlap=5)
    text = "".join(np.random.default_rng(0).choice(list("ACDEFGHIKLMNPQRSTVWY"), 47))
    total, covered = np.zeros((47, 16)), np.zeros(47)
    ids = encoder.spelling.ids([text])[0]
    for start, stop in windows(47, 20, 5):
        whole = torch.tensor([[*encoder.spelling.prefix, *ids[start:stop], *encoder.spelling.suffix]])
        hidden = encoder.net(input_ids=whole).last_hidden_state[0]
        total[start:stop] += hidden[1:-1].numpy()
        covered[start:stop] += 1
    expected = (total / covered[:, None]).mean(axis=0)
    np.testing.assert_allclose(encoder.embed_texts([text])[0], expected, atol=STATES)


def test_forty_thousand_residues(esm: Path) -> None:
    found = HFSequenceEncoder(esm, modality="protein").embed_texts(["MKVLA" * 8000])
    assert np.isfinite(found).all()


def test_protbert_spaces_and_rare_residues(protbert: Path) -> None:
    from transformers import AutoModel, AutoTokenizer

    encoder = HFSequenceEncoder(protbert, modality="protein")
    assert encoder.spelling.spaced
    assert encoder.window == 38
    tokenizer, model = AutoTokenizer.from_pretrained(protbert), AutoModel.from_pretrained(protbert).eval()
    with torch.inference_mode():
        hidden = model(**tokenizer("M K X V", return_tensors="pt")).last_hidden_state[0]
    for rare in "UZOBJX":
        np.testing.assert_allclose(encoder.embed_texts([f"MK{rare}V"])[0], hidden[1:5].mean(0).numpy(), atol=STATES)


def test_smiles(chemberta: Path) -> None:
    pytest.importorskip("rdkit")
    encoder = HFSequenceEncoder(chemberta, modality="molecule")
    assert encoder.window == 32  # 36 positions, the first two of which are not used, and two special tokens
    drugs = ad.AnnData(obs=pd.DataFrame({"smiles": ["OCC", "CCO", "C" * 60, None]}, index=list("abcd")))
    found = embed_rows(encoder, drugs)[:, 0]
    np.testing.assert_array_equal(found[0], found[1])
    assert np.isfinite(found[:3]).all()
    assert np.isnan(found[3]).all()


def test_saved_by_reference(esm: Path, tmp_path: Path) -> None:
    encoder = HFSequenceEncoder(esm, modality="protein", window=30, overlap=4)
    encoder.save(tmp_path / "saved")
    back = build("hf_sequence", tmp_path / "saved")
    assert back.fingerprint() == encoder.fingerprint()
    np.testing.assert_array_equal(back.embed_texts(PROTEINS[:1]), encoder.embed_texts(PROTEINS[:1]))  # type: ignore[attr-defined]
    config = json.loads((tmp_path / "saved" / "encoder.json").read_text())
    (tmp_path / "saved" / "encoder.json").write_text(json.dumps(config | {"fingerprint": "0" * 64}))
    with pytest.raises(MismatchError, match="0000.*" + encoder.fingerprint()):
        build("hf_sequence", tmp_path / "saved")


def test_a_name_in_the_hub_cache_opens_no_connection(
    esm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c" * 40
    folder = tmp_path / "models--owner--tiny"
    shutil.copytree(esm, folder / "snapshots" / commit)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", _refuse)
    monkeypatch.setattr("socket.getaddrinfo", _refuse)
    encoder = HFSequenceEncoder("owner/tiny", modality="protein")
    assert encoder.revision == commit
    assert encoder.fingerprint() == HFSequenceEncoder(esm, modality="protein").fingerprint()
    encoder.save(tmp_path / "saved")
    assert build("hf_sequence", tmp_path / "saved").source == f"owner/tiny@{commit}"  # type: ignore[attr-defined]
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        HFSequenceEncoder("nobody/no-such-model", modality="protein")


def test_a_fetch_that_was_stopped_between_two_files_goes_on(
    esm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "c" * 40
    kept = tmp_path / "models--owner--tiny" / "snapshots" / commit
    shutil.copytree(esm, kept)
    index = {"weight_map": {"one": "model.safetensors", "two": "model-2.safetensors"}}
    (kept / "model.safetensors.index.json").write_text(json.dumps(index))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        HFSequenceEncoder(f"owner/tiny@{commit}", modality="protein")


def _refuse(*args: object, **kwargs: object) -> None:
    raise AssertionError("a connection was opened")


def test_loading_leaves_the_callers_random_numbers(protbert: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    HFSequenceEncoder(protbert, modality="protein")
    torch.testing.assert_close(torch.rand(3), expected)


def test_errors(esm: Path, tmp_path: Path, chemberta: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be loaded"):
        HFSequenceEncoder(tmp_path, modality="protein")
    with pytest.raises(WeightsError, match="neither a folder nor a name"):
        HFSequenceEncoder("no such/folder/here", modality="protein")
    with pytest.raises(WeightsError, match="knows no residues"):
        HFSequenceEncoder(chemberta, modality="protein")
    with pytest.raises(InputError, match="choose 'protein' or 'molecule'"):
        HFSequenceEncoder(esm, modality="cell")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose 'mean' or 'cls'"):
        HFSequenceEncoder(esm, modality="protein", pooling="max")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="overlap by less"):
        HFSequenceEncoder(esm, modality="protein", window=10, overlap=10)


def test_out_of_memory_halves_the_batch(esm: Path, caplog: pytest.LogCaptureFixture) -> None:
    encoder = HFSequenceEncoder(esm, modality="protein")
    data = ad.AnnData(obs=pd.DataFrame({"sequence": PROTEINS}, index=[f"p{i}" for i in range(len(PROTEINS))]))
    wanted, real = embed_rows(encoder, data), encoder.net

    def small(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        if input_ids.numel() > 40:
            raise torch.OutOfMemoryError("the test's")
        return real(input_ids=input_ids, attention_mask=attention_mask)

    encoder.net = small
    np.testing.assert_allclose(embed_rows(encoder, data), wanted, atol=STATES)
    assert f"out of memory on {len(PROTEINS)} proteins at once" in caplog.text
    encoder.net = lambda **_: (_ for _ in ()).throw(torch.OutOfMemoryError("the test's"))
    with pytest.raises(InputError, match="Memory ran out on a single one of the proteins"):
        embed_rows(encoder, data)


def test_out_of_memory_halves_the_windows_of_one_text(esm: Path) -> None:
    encoder = HFSequenceEncoder(esm, modality="protein", window=20, overlap=5)
    wanted, real = encoder.embed_texts([PROTEINS[0] * 9]), encoder.net

    def small(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("the test's")
        return real(input_ids=input_ids, attention_mask=attention_mask)

    encoder.net = small
    np.testing.assert_allclose(encoder.embed_texts([PROTEINS[0] * 9]), wanted, atol=STATES)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_code_in_the_folder_is_refused_and_not_run(esm: Path, tmp_path: Path, file: str) -> None:
    copy = Path(shutil.copytree(esm, tmp_path / "m"))
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    values = json.loads((copy / file).read_text())
    values["auto_map"] = {"AutoModel": "evil.Model", "AutoTokenizer": ["evil.Tokenizer", None]}
    (copy / file).write_text(json.dumps(values))
    with pytest.raises(WeightsError, match=f"{file} asks for code of its own"):
        HFSequenceEncoder(copy, modality="protein")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", ["plain", "torch"])
def test_pickled_weights_are_read_for_tensors_only(esm: Path, tmp_path: Path, how: str) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    copy = Path(shutil.copytree(esm, tmp_path / "m"))
    (copy / "model.safetensors").unlink()
    if how == "plain":
        (copy / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(), protocol=2))
    else:
        torch.save({"embeddings.word_embeddings.weight": Bomb()}, copy / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="cannot be loaded"):
        HFSequenceEncoder(copy, modality="protein")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("header", [{}, {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 64]}}])
def test_tensors_with_a_wrong_header_are_refused(esm: Path, tmp_path: Path, header: dict[str, Any]) -> None:
    copy, text = Path(shutil.copytree(esm, tmp_path / "m")), json.dumps(header).encode()
    claimed = len(text) if header else 2**63
    (copy / "model.safetensors").write_bytes(struct.pack("<Q", claimed) + text + bytes(16))
    with pytest.raises(WeightsError, match=r"model\.safetensors .*is damaged or truncated"):
        HFSequenceEncoder(copy, modality="protein")


def test_absent_parameters_are_not_made_up(esm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = Path(shutil.copytree(esm, tmp_path / "m"))
    state = load_file(copy / "model.safetensors")
    state.pop("encoder.layer.1.output.dense.weight")
    save_file(state, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"lacks 1 parameters \(encoder\.layer\.1\.output\.dense\.weight"):
        HFSequenceEncoder(copy, modality="protein")
