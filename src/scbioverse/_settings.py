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


@dataclass
class Settings:
    """What holds for every call.

    Attributes
    ----------
    cache_dir
        Where data sets and converted weights are kept (`SCBIOVERSE_CACHE_DIR`). May be read-only:
        converted weights then go to the user's cache.
    offline
        Never open a connection (`SCBIOVERSE_OFFLINE`, on by default; set it to `0` to allow downloads).
    device
        `"auto"`, `"cpu"`, `"cuda"`, ... (`SCBIOVERSE_DEVICE`).
    progress
        Show progress bars (`SCBIOVERSE_PROGRESS`).
    """

    cache_dir: Path = field(default_factory=lambda: _env_path("SCBIOVERSE_CACHE_DIR", _user_cache()))
    offline: bool = field(default_factory=lambda: os.environ.get("SCBIOVERSE_OFFLINE", "1") != "0")
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
