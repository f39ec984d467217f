"""Package-wide settings, read once from the environment and changeable at run time; and whether one may connect.

A connection is opened for what was asked for by name, for nothing else: whoever opens one calls :func:`need_network`
first. What a user did not name (a language model that a saved model mentions, an update, a count of users) is looked
for on this machine alone.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from .errors import OfflineError


def _user_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "scbioverse"


# Seconds until a server must have taken the call, and between two pieces of an answer.
CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0
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

    cache_dir: Path = field(
        default_factory=lambda: Path(os.environ.get("SCBIOVERSE_CACHE_DIR") or _user_cache()).expanduser()
    )
    offline: bool = field(default_factory=lambda: any(is_on(os.environ.get(name, "")) for name in OFFLINE_VARIABLES))
    device: str = field(default_factory=lambda: os.environ.get("SCBIOVERSE_DEVICE", "auto"))
    progress: bool = field(default_factory=lambda: os.environ.get("SCBIOVERSE_PROGRESS", "1") != "0")

    def weights_dir(self) -> Path:
        """Folder for converted weights: below `cache_dir`, or the user's cache where that is read-only."""
        return self._writable("weights")

    def runs_dir(self) -> Path:
        """Folder for parts of runs that are under way or were stopped; beside that of the weights."""
        return self._writable("runs")

    def _writable(self, name: str) -> Path:
        for base in (Path(self.cache_dir), _user_cache()):
            folder = base / name
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError:
                continue
            if os.access(folder, os.W_OK):
                return folder
        raise PermissionError(f"neither {self.cache_dir} nor {_user_cache()} can be written; set SCBIOVERSE_CACHE_DIR")


settings = Settings()


def need_network(what: str, instead: str) -> None:
    """Raise an :class:`OfflineError` where `settings.offline` forbids connections; the message says by what.

    `what` would be reached, as the subject of a sentence; `instead` is a sentence: how to go on without.
    """
    if settings.offline:
        raise OfflineError(f"{what}, and {forbidden()}, or go on without a connection: {instead}")


def forbidden() -> str:
    """Say what forbids connections, and how to allow them."""
    by = next((name for name in OFFLINE_VARIABLES if is_on(os.environ.get(name, ""))), None)
    if by is None:
        return "settings.offline is on. Set scbioverse.settings.offline = False"
    return f"settings.offline is on, by {by}={os.environ[by]} in the environment. Set {by}=0"
