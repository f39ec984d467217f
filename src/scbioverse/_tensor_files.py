"""Files of tensors that came from elsewhere: their headers are compared with their sizes before anything is built."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any

from ._plain_files import FOREIGN, check_plain
from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from torch import Tensor

# A stored number may stand for several of the model's, where weights are packed (4 bits in a float32 at the least).
_PACKED = 8
# What a model may have beyond its files: a pooler or a head that is not used and was not saved.
_UNSAVED = 2**24


def check_safetensors(path: Path) -> None:
    """Refuse a file whose header does not describe exactly the bytes behind it.

    A header that is longer than the file, tensors that overlap, leave gaps or end elsewhere than the file does.

    Raises
    ------
    WeightsError
        It is no plain file, truncated, damaged or made up.
    """
    tensor_shapes(path)


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the header of a safetensors file names; the tensors are not read.

    Raises
    ------
    WeightsError
        It is no plain file, truncated, damaged or made up.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(check_plain(path), framework="np") as handle:
            return {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118
    except WeightsError:
        raise
    except (SafetensorError, *FOREIGN) as error:
        size = path.stat().st_size if path.is_file() else 0
        raise WeightsError(
            f"{path} ({size:,} bytes) is damaged or truncated ({error}). Fetch the file again."
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file.

    Raises
    ------
    WeightsError
        It is no plain file, truncated, damaged or made up.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(check_plain(path))
    except WeightsError:
        raise
    except (SafetensorError, *FOREIGN) as error:
        raise WeightsError(f"{path} is damaged: {error}. Save or fetch the model again.") from error


def check_torch_zip(path: Path) -> list[str]:
    """Refuse a file of `torch.save` that unpacks to more than it is; return the names of its records.

    torch writes its records as they are, each once: a file with packed records, or two of one name, is none of its own.

    Raises
    ------
    WeightsError
        It is no plain file, no zip file, or such a one.
    """
    try:
        with zipfile.ZipFile(check_plain(path)) as archive:
            records = archive.infolist()
    except WeightsError:
        raise
    except FOREIGN as error:
        raise WeightsError(f"{path} is refused or damaged: {error}. Fetch the file again.") from error
    names = [one.filename for one in records]
    claimed, size = sum(one.file_size for one in records), path.stat().st_size
    packed = any(one.compress_type != zipfile.ZIP_STORED for one in records)
    if packed or claimed > size or len(set(names)) != len(names):
        raise WeightsError(
            f"{path} is refused: it has {size:,} bytes and would unpack to {claimed:,}, or holds a record twice; torch "
            "writes no such file. Fetch the file again."
        )
    return names


def refuse_larger(model: str, folder: Path, config: Any, build: Any, files: Iterable[Path]) -> None:
    """Compare the sizes that a configuration asks for with the tensors that are there, before memory is taken.

    Parameters
    ----------
    model
        What to call it in messages.
    folder
        Where the configuration lies.
    config
        A configuration of transformers.
    build
        Makes the model of it; it is made without weights.
    files
        The safetensors files.

    Raises
    ------
    WeightsError
        A file is damaged, or the configuration asks for more layers or parameters than are there.
    """
    import torch

    shapes: Mapping[str, tuple[int, ...]] = {k: v for file in files for k, v in tensor_shapes(file).items()}
    there = sum(math.prod(shape) for shape in shapes.values())
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    layers = getattr(text, "num_hidden_layers", 0)
    if isinstance(layers, bool) or not isinstance(layers, int) or not 0 <= layers <= max(len(shapes), 64):
        raise WeightsError(
            f"{folder / 'config.json'} asks for {layers!r:.40} layers, and {model} has {len(shapes):,} tensors in all. "
            "Fetch the files again."
        )
    try:
        with torch.device("meta"):
            wanted = sum(math.prod(one.shape) for one in build().parameters())
    except FOREIGN as error:
        raise WeightsError(
            f"{folder / 'config.json'} describes no model that can be built: {type(error).__name__}: {error}. Fetch "
            "the files again."
        ) from error
    if wanted > _PACKED * there + _UNSAVED:
        raise WeightsError(
            f"{folder / 'config.json'} asks for {wanted:,} parameters, the files of {model} hold {there:,} numbers: "
            "they do not belong together. Fetch the files again."
        )
