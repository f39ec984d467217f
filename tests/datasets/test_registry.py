from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

import scbioverse as sb
from scbioverse.datasets._fetch import find, registry
from scbioverse.errors import InputError

KINDS = {"benchmark", "cells", "profiles", "knowledge", "molecules", "proteins"}
NEVER_TRAIN = ("pbmc3k", "pbmc_symphony_1200_1767g", "pancreas_wang_501_219g_log", "cellverse_cta_cite_100")


@pytest.mark.parametrize("name", sorted(registry()))
def test_entries_are_complete(name: str) -> None:
    info = registry()[name]
    assert info.kind in KINDS
    assert info.file.startswith("bench/" if info.kind == "benchmark" else f"{info.kind}/")
    assert ".." not in Path(info.file).parts
    assert re.fullmatch(r"[0-9a-f]{64}", info.sha256)
    assert info.bytes > 0
    assert info.address.startswith(("https://", "http://")) or info.address == "made for this package"
    assert info.licence
    assert info.citation
    assert info.use
    assert set(info.use) <= {"ship", "train", "test"}
    assert (info.shape is not None) == info.file.endswith(".h5ad")


def test_held_out_sets_are_not_for_training() -> None:
    assert not [name for name in NEVER_TRAIN if "train" in registry()[name].use]


def test_list_datasets_is_the_registry(cache_dir: Path) -> None:
    table = sb.datasets.list_datasets()
    assert set(table.index) == set(registry())
    assert table.loc["pbmc3k", ["n_obs", "n_vars"]].tolist() == [2700, 13714]
    assert table.loc["pbmc3k", "use"] == "ship, test"
    assert not table["cached"].any()
    (cache_dir / "cells").mkdir(parents=True)
    (cache_dir / "cells" / "pbmc3k.h5ad").touch()
    assert sb.datasets.list_datasets().query("cached").index.tolist() == ["pbmc3k"]


def test_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match=r"'kang_ifn'.*'kang_ifnb_pbmc'"):
        find("kang_ifn")


def test_cached_copies_have_their_checksums() -> None:
    present = [info for info in registry().values() if (sb.settings.cache_dir / info.file).is_file()]
    if not present:
        pytest.skip("no data set in the cache")
    for info in present:
        content = (sb.settings.cache_dir / info.file).read_bytes()
        assert len(content) == info.bytes, info.name
        assert hashlib.sha256(content).hexdigest() == info.sha256, info.name
