"""Headers of checkpoints changed at random: they load, or one of our errors says what is wrong."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scbioverse as sb
from tests.bad_inputs.cases_models import gguf, language_model, model, put

BOUNDED = settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**18), 10**18),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)


@pytest.fixture(scope="module")
def fresh() -> Any:
    """A folder with a model and a language model; `again()` puts them back as they were."""
    with tempfile.TemporaryDirectory() as folder:
        at = Path(folder)
        kept = {"model": model(at), "llm": language_model(at)}

        def again(name: str) -> Path:
            made = at / f"{name}-now"
            shutil.rmtree(made, ignore_errors=True)
            return Path(shutil.copytree(kept[name], made))

        yield again


def opens(folder: Path) -> None:
    try:
        sb.models.load(folder)
    except sb.errors.BioverseError as error:
        assert str(error)  # noqa: PT017


def leaves(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    for key in value if isinstance(value, dict) else []:
        found += leaves(value[key], (*at, key))
    return found


def changed(content: Any, at: tuple[Any, ...], value: Any) -> bytes:
    inner = content
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return json.dumps(content).encode()


@BOUNDED
@given(data=st.data())
@pytest.mark.parametrize("file", ["config.json", "encoders/cell/encoder.json"])
def test_values_of_configurations(fresh: Any, file: str, data: st.DataObject) -> None:
    folder = fresh("model")
    content = json.loads((folder / file).read_text())
    made = changed(content, data.draw(st.sampled_from(leaves(content))), data.draw(ODD))
    if file == "config.json":
        (folder / file).write_bytes(made)
    else:
        put(folder, file, made)
    opens(folder)


@BOUNDED
@given(data=st.data())
@pytest.mark.parametrize(
    "file", ["projector.safetensors", "encoders/cell/encoder.safetensors", "encoders/cell/genes.txt.gz"]
)
def test_bytes_of_files(fresh: Any, file: str, data: st.DataObject) -> None:
    folder = fresh("model")
    content = bytearray((folder / file).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 2000) - 1))] = data.draw(st.integers(0, 255))
    put(
        folder,
        file,
        bytes(content[: data.draw(st.integers(0, len(content)))]) if data.draw(st.booleans()) else bytes(content),
    )
    opens(folder)


@BOUNDED
@given(data=st.data())
def test_bytes_of_a_gguf_file(fresh: Any, data: st.DataObject) -> None:
    from scbioverse.llm import Backbone

    file = fresh("model") / "model.gguf"
    content = bytearray(gguf([("token_embd.weight", (32, 4), 0, 0), ("b", (32,), 0, 512)], 1024))
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(4, 160))] = data.draw(st.integers(0, 255))
    file.write_bytes(bytes(content))
    with pytest.raises(sb.errors.BioverseError):
        Backbone.load(str(file), device="cpu")


@settings(BOUNDED, max_examples=12)
@given(data=st.data())
def test_values_of_a_language_model(fresh: Any, data: st.DataObject) -> None:
    from scbioverse.llm import Backbone

    folder = fresh("llm")
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_bytes(changed(content, data.draw(st.sampled_from(leaves(content))), data.draw(ODD)))
    try:
        Backbone.load(str(folder), device="cpu")
    except sb.errors.BioverseError as error:
        assert str(error)  # noqa: PT017
