"""The safetensors copy of a GGUF model: made once, then loaded in well under a second.

A copy lies in `settings.weights_dir()/<first 16 digits of the source's sha256>/`. Its manifest holds the
source's digest and the size and modification time of each file. A copy whose files are not what the
manifest says is made anew.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .._logging import logger
from .._settings import settings
from ..errors import WeightsError
from ._digest import write_atomic
from .gguf import read_gguf

if TYPE_CHECKING:
    from .resolve import ResolvedLLM

# Raised whenever the conversion changes what it writes, so that older copies are not used.
FORMAT = 1
_MANIFEST = "source.json"


def converted_copy(resolved: ResolvedLLM) -> Path:
    """Return the folder of the safetensors copy of a GGUF model, making it where it is absent or damaged.

    The copy holds float32 weights, `config.json`, the tokenizer and a manifest. It is written under
    a temporary name and renamed, so that concurrent processes never see half of it.

    Raises
    ------
    WeightsError
        The GGUF file cannot be read, or the copy cannot be written (no space, no permission).
    """
    try:
        base = settings.weights_dir()
    except OSError as error:
        raise WeightsError(f"No folder to keep a converted copy of {resolved.path} in: {error}") from error
    target = base / resolved.sha256[:16]
    if is_intact(target, resolved.sha256):
        return target
    if target.exists():
        logger.warning("the converted copy in %s is damaged or from another version; it is made anew", target)
    logger.info("converting %s to safetensors (once)", resolved.path.name)
    try:
        # A folder beside the target, so that the rename stays on one file system.
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=base, ignore_cleanup_errors=True) as temporary:
            made = Path(temporary) / "copy"
            made.mkdir()
            _write_copy(resolved, made)
            _put_in_place(made, target, resolved.sha256)
    except WeightsError:
        raise
    except OSError as error:
        raise WeightsError(
            f"The converted copy of {resolved.path} could not be written to {target} ({error}). It takes about "
            "0.6 GB for a 135 M parameter model; set SCBIOVERSE_CACHE_DIR to a folder with space."
        ) from error
    return target


def _write_copy(resolved: ResolvedLLM, folder: Path) -> None:
    from safetensors.torch import save_file

    model = read_gguf(resolved.path)
    save_file(model.state_dict, folder / "model.safetensors", metadata={"format": "pt"})
    model.config.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    files = {path.name: _entry(path) for path in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "source": resolved.path.name, "sha256": resolved.sha256, "files": files}
    write_atomic(folder / _MANIFEST, json.dumps(manifest, indent=1))


def _entry(path: Path) -> dict[str, int]:
    stat = path.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _put_in_place(made: Path, target: Path, sha256: str) -> None:
    try:
        made.rename(target)
    except OSError:
        # Something is there already: another process's whole copy, or a damaged one to push aside.
        if is_intact(target, sha256):
            return
        aside = made.with_name("damaged")
        target.rename(aside)
        made.rename(target)
        shutil.rmtree(aside, ignore_errors=True)


def is_intact(folder: Path, sha256: str) -> bool:
    """Whether a copy is whole, unchanged since it was written, of this source and in today's format."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT or manifest["sha256"] != sha256 or not manifest["files"]:
            return False
        return all(_entry(folder / name) == entry for name, entry in manifest["files"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
