"""The models that were loaded last: a name that is given again costs neither time nor memory.

Verbs take a model by name as often as one calls them, and each load of a language model takes seconds and hundreds of
megabytes. What was read is therefore kept, for the last few models. Nobody gets the kept one itself, but a copy with
weights and settings of its own; copies share what nothing changes: encoders and language model.
"""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from .._settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .language import LanguageModel

M = TypeVar("M")
MOST_MODELS = 2
MOST_BYTES = 4 * 2**30
"""Language models of all kept models but the last may take so much together."""


class LoadedModels:
    """A few models, the least recently asked for forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, tuple[Any, dict[str, Any]]] = OrderedDict()
        # Two models of one language model read with one copy of it; it goes when the last of them goes.
        self._languages: WeakValueDictionary[Any, LanguageModel] = WeakValueDictionary()
        self._lock = threading.RLock()

    def get(self, folder: Path, options: tuple[Any, ...], load: Callable[[], M]) -> M:
        """Return a copy of the model in `folder`, which `load` reads if it is not kept as it lies there now.

        `options` are what else it was asked for with: language model, device.
        """
        with self._lock:
            try:
                key, seen = (folder.resolve(), options, settings.device), {"files": _files(folder)}
            except (OSError, RuntimeError):  # links in a circle, no permission: the loader says so
                return load()
            held = self._kept.get(key)
            if held is not None and held[1]["files"] == seen["files"] and held[1]["kinds"] == _kinds(held[0]):
                self._kept.move_to_end(key)
                self._trim()  # those kept may have opened their language models since
                return held[0].copy()
            self._kept.pop(key, None)
            model: Any = load()
            language = model.readers.language
            language.shared = True
            told = (
                language.name,
                bool(language.mentioned_by),
                model.config.llm.sha256,
                language.device,
                settings.device,
            )
            model.readers.language = self._languages.setdefault(told, language)
            self._kept[key] = (model, seen | {"kinds": _kinds(model)})
            self._trim()
            return model.copy()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()

    def _trim(self) -> None:
        while len(self._kept) > MOST_MODELS or (len(self._kept) > 1 and self._bytes() > MOST_BYTES):
            self._kept.popitem(last=False)

    def _bytes(self) -> int:
        *others, last = (model.readers.language for model, _ in self._kept.values())
        return sum(one.n_bytes for one in {id(one): one for one in others if one is not last}.values())

    def __len__(self) -> int:
        return len(self._kept)


LOADED = LoadedModels()


def clear_cache() -> None:
    """Free the models that are kept in memory because they were loaded by name.

    The last two are kept, so that a model given by name is not read again with every call. A model that you hold
    yourself stays.
    """
    LOADED.clear()
    gc.collect()


def _files(folder: Path) -> list[tuple[str, int, int, int]]:
    """Return what tells a checkpoint from one that was saved anew in its place."""
    found = []
    for file in sorted(folder.rglob("*")):
        stat = file.lstat()
        found.append((file.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return found


def _kinds(model: Any) -> dict[str, Any]:
    """Return the classes of its encoders: one that was defined anew must be built anew."""
    from ..encoders._registry import held_class

    return {one.kind: held_class(one.kind) for one in model.config.encoders.values()}
