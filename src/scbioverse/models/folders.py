"""Where a model lies: in the package by its name, in any folder, or on the hub."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from ..errors import InputError, WeightsError
from .config import CONFIG

# All weights of the package lie here, and SHA256SUMS beside them: `cd weights && sha256sum -c SHA256SUMS`.
_BUNDLED = Path(__file__).parent / "weights"
SUMS = "SHA256SUMS"


def listed_sums(folder: Path) -> dict[str, str]:
    """Sha256 of each file of a bundled model by name, as the package's list has it; empty for any other folder."""
    if folder.parent != _BUNDLED or not (_BUNDLED / SUMS).is_file():
        return {}
    lines = (_BUNDLED / SUMS).read_text(encoding="utf-8").splitlines()
    found = (line.split("  ", 1) for line in lines)
    return {name.removeprefix(f"{folder.name}/"): sha for sha, name in found if name.startswith(f"{folder.name}/")}


def bundled() -> dict[str, Path]:
    """Folders of the models in the package, by name."""
    if not _BUNDLED.is_dir():
        return {}
    return {folder.name: folder for folder in _BUNDLED.iterdir() if (folder / CONFIG).is_file()}


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
