"""Files of tensors that came from elsewhere: their headers are compared with their sizes before anything is built."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Any

from ._untrusted import check_plain, refusing
from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor


def tensor_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the header of a safetensors file names; the tensors are not read.

    The library refuses a header that does not describe exactly the bytes behind it: one longer than the file, tensors
    that overlap, leave gaps or end elsewhere than the file does.
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


def add_tensors(digest: Any, tensors: Mapping[str, Tensor]) -> None:
    """Add names, types, shapes and values of tensors to a digest of hashlib, in the order of their names."""
    import torch

    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key}{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())


def check_torch_zip(path: Path) -> list[str]:
    """Refuse a file of `torch.save` that unpacks to more than it is; return the names of its records.

    torch writes its records as they are, each once: a file with packed records, or two of one name, is none of its own.
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
