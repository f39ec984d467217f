from __future__ import annotations

import logging
from collections.abc import Callable

import psutil
import pytest
import torch

from scbioverse._device import BatchSize, free_bytes
from scbioverse.errors import InputError


def gpu_with(limit: int, seen: list[int]) -> Callable[[int], str]:
    """Work that fits up to `limit` rows at once."""

    def work(size: int) -> str:
        seen.append(size)
        if size > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore lines")
        return "done"

    return work


def test_halves_until_it_fits_stays_there_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    memory = BatchSize(128, what="cells")
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        assert memory.run(gpu_with(40, seen)) == "done"
        assert memory.run(gpu_with(40, seen)) == "done"
    assert seen == [128, 64, 32, 32]
    assert memory.size == 32
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory on 128 cells at once; going on with 64 (CUDA out of memory. Tried to allocate 20.00 GiB.)",
        "out of memory on 64 cells at once; going on with 32 (CUDA out of memory. Tried to allocate 20.00 GiB.)",
    ]


def test_odd_sizes_come_down_to_one(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    assert BatchSize(7).run(gpu_with(1, seen)) == "done"
    assert seen == [7, 3, 1]
    with pytest.raises(InputError, match=r"single one of the cells: CUDA out of memory.*smaller language model"):
        BatchSize(4, what="cells").run(gpu_with(0, []))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_cpu_runs_out_too(error: Exception) -> None:
    def work(size: int) -> int:
        if size > 2:
            raise error
        return size

    assert BatchSize(8).run(work) == 2


def test_other_errors_pass() -> None:
    def work(size: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        BatchSize(8).run(work)
    with pytest.raises(InputError, match="batch_size"):
        BatchSize(0)


def test_each_computes_only_what_did_not_fit_again(caplog: pytest.LogCaptureFixture) -> None:
    tried: list[tuple[int, int]] = []

    def double(rows: slice) -> list[int]:
        tried.append((rows.start, rows.stop))
        if rows.stop - rows.start > (10 if rows.start < 8 else 3):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return [2 * row for row in range(rows.start, rows.stop)]

    memory = BatchSize(8, what="texts")
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        done = list(memory.each(14, double))
    assert [one for _, part in done for one in part] == [2 * row for row in range(14)]
    assert [(rows.start, rows.stop) for rows, _ in done] == [(0, 8), (8, 11), (11, 14)]
    # Six were left: tried as six, not as eight.
    assert tried == [(0, 8), (8, 14), (8, 11), (11, 14)]
    assert memory.size == 3
    assert [record.getMessage().split(" (")[0] for record in caplog.records] == [
        "out of memory on 6 texts at once; going on with 3"
    ]
    assert list(BatchSize(4).each(0, double)) == []


def test_each_keeps_its_size_over_a_short_end() -> None:
    memory = BatchSize(8)
    assert [rows.stop - rows.start for rows, _ in memory.each(19, lambda rows: None)] == [8, 8, 3]
    assert memory.size == 8
    with pytest.raises(InputError, match=r"single one of the cells: .* Buy more\."):
        list(BatchSize(2, what="cells", hint="Buy more.").each(3, lambda rows: gpu_with(0, [])(1)))


def test_free_memory_of_a_gpu_counts_what_torch_holds_unused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (3_000, 80_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 700)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 500)
    assert free_bytes(torch.device("cuda", 0)) == 3_200


def test_free_memory_of_a_cpu_is_what_the_system_says_or_unknown() -> None:
    free = free_bytes(torch.device("cpu"))
    assert free is not None
    assert 2**20 < free <= psutil.virtual_memory().total
    assert free_bytes(torch.device("meta")) is None
