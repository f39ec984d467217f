"""Files of tensors that came from elsewhere: their headers are compared with their sizes before anything is built."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, Any

from ._untrusted import check_plain, refusing
from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from torch import Tensor

# A stored number may stand for several of the model's, where weights are packed (4 bits in a float32 at the least).
_PACKED = 8
# What a model may have beyond its files: a pooler or a head that is not used and was not saved.
_UNSAVED = 2**24
_FETCH = "Fetch the files again."


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the header of a safetensors file names; the tensors are not read.

    The library refuses a header that does not describe exactly the bytes behind it: one longer than the file, tensors
    that overlap, leave gaps or end elsewhere than the file does.

    Raises
    ------
    WeightsError
        It is no plain file, truncated, damaged or made up.
    """
    from safetensors import SafetensorError, safe_open

    size = check_plain(path).stat().st_size
    said = refusing(f"{path} ({size:,} bytes) is damaged or truncated", "Fetch the file again.", also=SafetensorError)
    with said, safe_open(path, framework="np") as handle:
        return {name: tuple(handle.get_slice(name).get_shape()) for name in handle.keys()}  # noqa: SIM118


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises a :class:`WeightsError` where it is no plain file, truncated or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with refusing(f"{path} is damaged", "Save or fetch the model again.", also=SafetensorError):
        return load_file(check_plain(path))


def check_torch_zip(path: Path) -> list[str]:
    """Refuse a file of `torch.save` that unpacks to more than it is; return the names of its records.

    torch writes its records as they are, each once: a file with packed records, or two of one name, is none of its own.

    Raises
    ------
    WeightsError
        It is no plain file, no zip file, or such a one.
    """
    said = refusing(f"{path} is refused or damaged", "Fetch the file again.")
    with said, zipfile.ZipFile(check_plain(path)) as archive:
        records = archive.infolist()
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

    shapes = {name: shape for file in files for name, shape in tensor_shapes(file).items()}
    there = sum(map(math.prod, shapes.values()))
    file = folder / "config.json"
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    # Looked at before the model is built: even without weights, a block takes a millisecond and memory of its own.
    if type(layers) is not int or not 0 <= layers <= max(len(shapes), 64):
        raise WeightsError(f"{file} asks for {layers!r:.40} layers, {model} has {len(shapes):,} tensors. {_FETCH}")
    with refusing(f"{file} describes no model that can be built", _FETCH), torch.device("meta"):
        wanted = sum(math.prod(one.shape) for one in build().parameters())
    if wanted > _PACKED * there + _UNSAVED:
        raise WeightsError(
            f"{file} asks for {wanted:,} parameters, the files of {model} hold {there:,} numbers: they do not belong "
            f"together. {_FETCH}"
        )
