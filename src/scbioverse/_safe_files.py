"""Checks of files that came from elsewhere, done before anything reads them. Nothing in them is ever run."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# Keys with which a configuration sends the reader to code that lies beside it or in a package it names.
_CODE_KEYS = ("auto_map", "trust_remote_code", "auto_mapping")
PLAIN = (".safetensors", ".json", ".md", ".txt", ".txt.gz", ".tsv.gz", ".jinja")
"""Kinds of files a checkpoint may hold: tensors, and text that nothing executes."""
INERT = frozenset({".gitattributes", ".gitignore", "LICENSE", "NOTICE"})
"""Files beside a model that do nothing."""
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5")
"""Kinds of files that can hold pickles (numpy's and HDF5 with objects), as weights are found in them."""
CODE = (".py", ".pyc", ".pyd", ".so", ".dll", ".dylib", ".sh", ".bat", ".exe", ".whl", ".jar")


def check_file_name(name: str, *, where: str) -> str:
    """Return `name` if it is a plain relative path below a folder.

    Raises
    ------
    WeightsError
        It is absolute, climbs out, is hidden, or holds anything but letters, digits, '.', '_' and '-'.
    """
    text = name if isinstance(name, str) else ""
    parts = PurePosixPath(text).parts
    if not parts or text != "/".join(parts) or any(not _PART.fullmatch(one) or ".." in one for one in parts):
        raise WeightsError(
            f"{where} names the file {name!r}, which is not a plain path: it leads out of the folder or hides. The "
            "model is damaged or was tampered with."
        )
    return text


def check_kinds(names: Iterable[str], *, where: str) -> None:
    """Refuse a list of files that holds anything but tensors and text.

    Raises
    ------
    WeightsError
        A name leads out of its folder, or a file is a pickle, code, an archive or something unknown.
    """
    for name in names:
        if name.rsplit("/", 1)[-1] in INERT:
            continue
        check_file_name(name, where=where)
        if not name.lower().endswith(PLAIN):
            raise WeightsError(
                f"{where} holds {name!r}. A model is {', '.join(PLAIN)} and nothing else: pickles and code can run "
                "when they are opened, and are refused."
            )


def refuse_executable(folder: Path) -> None:
    """Refuse a folder in which pickles, code or libraries lie, whether or not anything names them.

    Raises
    ------
    WeightsError
        There is one.
    """
    for file in sorted(folder.rglob("*")):
        if file.name.lower().endswith((*PICKLES, *CODE)):
            raise WeightsError(
                f"{file} is a pickle or code, which can run when it is opened, and has no place in a model. Remove it "
                "if you know where it comes from; if not, fetch the model again."
            )


def refuse_code(folder: Path) -> None:
    """Refuse a folder with a configuration that asks for code of its own (`auto_map`, `trust_remote_code`).

    Raises
    ------
    WeightsError
        There is one, or one is not readable.
    """
    for file in sorted(folder.rglob("*config.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{file} is not readable JSON ({error}). Fetch the file again.") from error
        key = next((key for key in _keys_with_a_value(content) if key in _CODE_KEYS), None)
        if key is not None:
            raise WeightsError(
                f"{file} asks for code of its own ({key!r}), which is never run. If transformers knows the model type, "
                f"take {key!r} out of the file; if not, use another model."
            )


def _keys_with_a_value(content: Any) -> Iterable[str]:
    if isinstance(content, dict):
        for key, value in content.items():
            if value:
                yield str(key)
            yield from _keys_with_a_value(value)
    elif isinstance(content, list):
        for value in content:
            yield from _keys_with_a_value(value)


def check_safetensors(path: Path) -> None:
    """Refuse a file whose header does not describe exactly the bytes behind it.

    A header that is longer than the file, tensors that overlap, leave gaps or end elsewhere than the file does.

    Raises
    ------
    WeightsError
        It is truncated, damaged or made up.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as handle:
            handle.keys()
    except (SafetensorError, OSError, ValueError) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise WeightsError(
            f"{path} ({size:,} bytes) is damaged or truncated ({error}). Fetch the file again."
        ) from error
