"""Checks of files that came from elsewhere, done before anything reads them. Nothing in them is ever run."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ._plain_files import read_json
from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
# Keys with which a configuration sends the reader to code that lies beside it or in a package it names.
_CODE_KEYS = ("auto_map", "trust_remote_code", "auto_mapping")
# Keys under which transformers takes the name of code on the hub ("owner/kernel") as well as that of its own.
_KERNEL_KEYS = ("attn_implementation", "experts_implementation", "attn_implementation_internal", "kernel_config")
_BUILT_IN = frozenset(
    {"eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention", "batched_mm", "grouped_mm"}
)
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
    """Refuse a folder with a configuration that asks for code of its own, or for code from elsewhere.

    That is `auto_map` and `trust_remote_code`, and the name of an attention that would be fetched from the hub.

    Raises
    ------
    WeightsError
        There is one, or one is not readable.
    """
    for file in sorted(folder.rglob("*config.json")):
        for key, value in _pairs_with_a_value(read_json(file)):
            if key.endswith(_KERNEL_KEYS):
                _check_kernel(file, key, value)
            if key not in _CODE_KEYS:
                continue
            raise WeightsError(
                f"{file} asks for code of its own ({key!r}), which is never run. If transformers knows the model type, "
                f"take {key!r} out of the file; if not, use another model."
            )


def _check_kernel(file: Path, key: str, value: Any) -> None:
    named = list(value.values()) if isinstance(value, dict) else [value]
    if any(not isinstance(one, str) or one.removeprefix("paged|") not in _BUILT_IN for one in named if one):
        raise WeightsError(
            f"{file} names {value!r:.80} as {key!r}. What transformers does not bring along would be fetched and run: "
            f"only {', '.join(sorted(_BUILT_IN))} are taken. Take {key!r} out of the file."
        )


def _pairs_with_a_value(content: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            if value:
                yield str(key), value
            yield from _pairs_with_a_value(value)
    elif isinstance(content, list):
        for value in content:
            yield from _pairs_with_a_value(value)
