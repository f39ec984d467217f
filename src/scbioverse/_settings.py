"""Package-wide settings, read once from the environment and changeable at run time."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "scbioverse"


def _env_path(name: str, default: Path) -> Path:
    value = os.environ.get(name)
    return Path(value).expanduser() if value else default


# Each of them forbids connections; the last two are the hub's and transformers' own.
OFFLINE_VARIABLES = ("SCBIOVERSE_OFFLINE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def is_on(value: str) -> bool:
    """Whether the value of a variable says yes; what is not understood does."""
    return value.strip().lower() not in ("", "0", "false", "no", "off")


@dataclass
class Settings:
    """What holds for every call.

    Attributes
    ----------
    cache_dir
        Where data sets and converted weights are kept (`SCBIOVERSE_CACHE_DIR`). May be read-only:
        converted weights then go to the user's cache.
    offline
        Never open a connection (`SCBIOVERSE_OFFLINE=1`, `HF_HUB_OFFLINE=1` or `TRANSFORMERS_OFFLINE=1`; off by
        default). While it is off, what is asked for by name may be fetched: `scbioverse models pull`, `datasets.fetch`
        and `datasets.load`, a hub id given as model, `llm=` or encoder. Nothing else ever opens a connection.
    device
        `"auto"`, `"cpu"`, `"cuda"`, ... (`SCBIOVERSE_DEVICE`).
    progress
        Show progress bars (`SCBIOVERSE_PROGRESS`).
    """

    cache_dir: Path = field(default_factory=lambda: _env_path("SCBIOVERSE_CACHE_DIR", _user_cache()))
    offline: bool = field(default_factory=lambda: any(is_on(os.environ.get(name, "")) for name in OFFLINE_VARIABLES))
    device: str = field(default_factory=lambda: os.environ.get("SCBIOVERSE_DEVICE", "auto"))
    progress: bool = field(default_factory=lambda: os.environ.get("SCBIOVERSE_PROGRESS", "1") != "0")

    def weights_dir(self) -> Path:
        """Folder for converted weights: below `cache_dir`, or the user's cache where that is read-only."""
        for base in (Path(self.cache_dir), _user_cache()):
            folder = base / "weights"
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
        raise PermissionError(f"neither {self.cache_dir} nor {_user_cache()} can be written; set SCBIOVERSE_CACHE_DIR")


settings = Settings()
