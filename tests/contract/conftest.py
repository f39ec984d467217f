from __future__ import annotations

import pytest

import scbioverse as sb


@pytest.fixture(autouse=True)
def as_users_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """No progress bars, nothing downloaded, on the CPU."""
    monkeypatch.setattr(sb.settings, "progress", False)
    monkeypatch.setattr(sb.settings, "offline", True)
    monkeypatch.setattr(sb.settings, "device", "cpu")
