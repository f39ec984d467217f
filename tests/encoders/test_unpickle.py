"""Pickles from elsewhere: plain tables are read, anything that could run is refused before it runs."""

from __future__ import annotations

import collections
import gzip
import json
import os
import pickle
import resource
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scbioverse.encoders._unpickle import load_table
from scbioverse.errors import WeightsError


class Call:
    """Pickles as a call of `function`."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.parts = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> Any:
        return self.parts


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_tables_are_read(tmp_path: Path, protocol: int) -> None:
    table = {"<pad>": 0, "ENSG1": 2, "ENSG2": 2.5, "big": 2**40, "name": "CD3E", "é": -1}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(table, protocol=protocol))
    assert load_table(tmp_path / "t.pkl") == table


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value", [np.float64(2.5), np.float32(1.25), np.int64(-7), np.uint8(9), np.dtype(">f8").type(3)]
)
def test_numpy_scalars_become_numbers(tmp_path: Path, value: Any, protocol: int) -> None:
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"a": value, "b": value}, protocol=protocol))
    found = load_table(tmp_path / "t.pkl")
    assert found == {"a": value, "b": value}
    assert type(found["a"]) in (int, float)


def test_json_and_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1.0}')
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b'{"b": "x"}'))
    assert load_table(tmp_path / "a.json") == {"a": 1.0}
    assert load_table(tmp_path / "b.json.gz") == {"b": "x"}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("function", [os.system, subprocess.getoutput])
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path: Path, function: Any, protocol: int) -> None:
    mark = tmp_path / "ran"
    content = pickle.dumps({"ENSG1": Call(function, f"touch {mark}")}, protocol=protocol)
    pickle.loads(content)  # the test's own bait bites ...
    assert mark.exists()
    mark.unlink()
    (tmp_path / "t.pkl").write_bytes(content)
    with pytest.raises(WeightsError, match=r"t\.pkl is refused .*(system|getoutput|STACK_GLOBAL)"):
        load_table(tmp_path / "t.pkl")
    assert not mark.exists()  # ... and was not taken


HARMFUL = {
    "getattr": Call(getattr, "abc", "upper"),
    "eval": Call(eval, "1 + 1"),
    "import": Call(__import__, "os"),
    "deep in a value": {"a": [({"b": Call(os.getcwd)},)]},
    "as a key": {("a", Call(os.getcwd)): 1},
    "numpy array": np.arange(3),
    "numpy object scalar": np.array(["x"], dtype=object),
    "numpy reconstruct": Call(np.ndarray, (2,)),
    "class": Path("a"),
    "ordered dict": collections.OrderedDict(a=1),
    "default dict": collections.defaultdict(int, a=1),
    "dtype with fields": np.dtype([("a", "f8")]),
    "nested global": Call(os.path.join, "a"),
    "set": {1, 2},
    "bytearray": bytearray(b"a"),
}


@pytest.mark.parametrize("name", HARMFUL)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_everything_else_is_refused(tmp_path: Path, name: str, protocol: int) -> None:
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"a": HARMFUL[name]}, protocol=protocol))
    with pytest.raises(WeightsError, match=r"is refused|is not a flat table"):
        load_table(tmp_path / "t.pkl")


RAW = {
    "dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0ddtype.__new__\x93.",
    "instance": b"(i" + b"os\ngetcwd\n.",
    "object": b"(cos\ngetcwd\no.",
    "new object": b"\x80\x02cnumpy\ndtype\n)\x81.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent id": b"Pabc\n.",
    "binary persistent id": b"\x80\x02K\x01Q.",
    "attributes on a stand-in": b"cnumpy\ndtype\n}X\x01\x00\x00\x00aK\x01sb.",
    "slots on a stand-in": b"cnumpy\ndtype\n(N}X\x08\x00\x00\x00__call__K\x01stb.",
    "stand-in as a value of the wrong type": b"cnumpy._core.multiarray\nscalar\n(K\x01K\x02tR.",
    "dtype with odd state": b"cnumpy\ndtype\n(X\x02\x00\x00\x00f8tR(K\x03X\x01\x00\x00\x00<K\x01NNtb.",
    "huge string": b"\x80\x04\x8d" + struct.pack("<Q", 2**60) + b"a.",
    "huge number": b"L" + b"9" * 10_000 + b"L\n.",
    "two pickles": pickle.dumps({"a": 1}) + pickle.dumps({"b": 2}),
    "no end": pickle.dumps({"a": 1})[:-1],
    "empty": b"",
    "no pickle": b"PK\x03\x04 this is a zip",
    "stack underflow": b"\x80\x02R.",
    "nothing to return": b"\x80\x02.",
    "unhashable key": b"\x80\x02}]K\x01s.",
    "future protocol": b"\x80\xff}.",
}


@pytest.mark.parametrize("name", RAW)
def test_odd_pickles_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "t.pkl").write_bytes(RAW[name])
    with pytest.raises(WeightsError, match=r"is refused|expected a dict"):
        load_table(tmp_path / "t.pkl")
    # Nothing that a file does to a stand-in lasts.
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"a": np.float64(2.5)}, protocol=2))
    assert load_table(tmp_path / "t.pkl") == {"a": 2.5}


# A memo of 2 ** 31 places, a frame of 2 ** 60 bytes, an array of 2 ** 31.
@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02}r\xff\xff\xff\x7f.",
        b"\x80\x04\x95" + struct.pack("<Q", 2**60) + b"}.",
        b"\x80\x05}\x8c\x01a\x96" + struct.pack("<Q", 2**31) + b"s.",
    ],
    ids=["memo", "frame", "bytearray"],
)
def test_sizes_that_a_file_claims_take_no_memory(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.pkl").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        assert load_table(tmp_path / "t.pkl") == {}
    except WeightsError as error:
        assert "is refused" in str(error)  # noqa: PT017
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


def test_a_global_by_the_stack_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "t.pkl").write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.")
    with pytest.raises(WeightsError, match=r"asks for posix\.system"):
        load_table(tmp_path / "t.pkl")


@pytest.mark.parametrize(
    "table",
    [[1, 2], "a", {"a": [1]}, {1: 2}, {"a": None}, {"a": {"b": 1}}, {"a": (1,)}, {"a": b"x"}],
    ids=repr,
)
def test_tables_must_be_flat(tmp_path: Path, table: Any) -> None:
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(table))
    with pytest.raises(WeightsError, match=r"t\.pkl (holds|is not a flat table)"):
        load_table(tmp_path / "t.pkl")


def test_nesting_is_not_followed(tmp_path: Path) -> None:
    # 2 ** 60 entries when walked, 60 lists in memory.
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    (tmp_path / "t.pkl").write_bytes(pickle.dumps({"a": value}))
    with pytest.raises(WeightsError, match="flat table"):
        load_table(tmp_path / "t.pkl")


def test_size_is_bounded(tmp_path: Path) -> None:
    table = {f"ENSG{i}": i for i in range(1000)}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps(table))
    assert len(load_table(tmp_path / "t.pkl")) == 1000
    with pytest.raises(WeightsError, match="larger than 1,000 bytes"):
        load_table(tmp_path / "t.pkl", max_bytes=1000)
    # A small file that unpacks to a large one.
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(json.dumps(table | {"x": "0" * 100_000}).encode()))
    with pytest.raises(WeightsError, match=r"content of .* is larger"):
        load_table(tmp_path / "t.json.gz", max_bytes=50_000)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        load_table(tmp_path / "t.pkl")
    (tmp_path / "t.json.gz").write_bytes(gzip.compress(b'{"a": 1}')[:-9])
    with pytest.raises(WeightsError, match="damaged"):
        load_table(tmp_path / "t.json.gz")
    (tmp_path / "t.json").write_text("{")
    with pytest.raises(WeightsError, match="not readable JSON"):
        load_table(tmp_path / "t.json")
