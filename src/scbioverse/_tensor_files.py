"""Files of tensors that came from elsewhere, and networks of transformers loaded from a folder of such.

Headers are compared with sizes before anything is built; nothing in a folder is run, nothing stays random, nothing is
printed.
"""

from __future__ import annotations

import math
import threading
import zipfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._logging import first_few
from ._untrusted import PICKLES, check_file_name, check_plain, read_json_object, refusing
from .errors import MismatchError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
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


def safetensors_of(folder: Path) -> list[Path]:
    """Return a folder's files of weights, and the lists that say which of several hold what.

    A :class:`WeightsError` where there are none but pickles, none at all, or not all that a list names.
    """
    weights, lists = sorted(folder.glob("*.safetensors")), sorted(folder.glob("*.safetensors.index.json"))
    if not weights:
        pickles = sorted(file.name for file in folder.iterdir() if file.name.endswith(PICKLES))
        raise WeightsError(
            f"{folder} holds its weights as pickles ({', '.join(pickles)}), which can run code when they are opened "
            "and are refused. Convert them to safetensors, or fetch the model's safetensors version."
            if pickles
            else f"{folder} has no *.safetensors weights (found: {listing(folder)})."
        )
    for one in lists:
        named = read_json_object(one).get("weight_map", {})
        parts = {check_file_name(name, where=str(one)) for name in named.values()} if isinstance(named, dict) else ()
        if absent := sorted(part for part in parts if not (folder / part).is_file()):
            raise WeightsError(f"{folder} lacks the weight files {', '.join(absent)} that {one.name} names.")
    return [*lists, *weights]


def listing(folder: Path) -> str:
    """Say what lies in a folder."""
    return first_few(sorted(entry.name for entry in folder.iterdir()), 8) or "an empty folder"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; raises a :class:`WeightsError` where it is no plain file, truncated or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    with refusing(f"{path} is damaged", "Save or fetch the model again.", also=SafetensorError):
        return load_file(check_plain(path))


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a tensor; on a CPU they are not copied."""
    import torch

    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def fill(params: Mapping[str, Tensor], tensors: Mapping[str, Tensor], wrong: str) -> None:
    """Copy tensors into those of the same names; a :class:`MismatchError` shows which shapes differ, after `wrong`."""
    import torch

    wanted, found = ({(name, tuple(one.shape)) for name, one in some.items()} for some in (params, tensors))
    if wanted != found:
        raise MismatchError(f"{wrong}; they differ in {sorted(wanted ^ found)[:4]}.")
    with torch.no_grad():
        for name, param in params.items():
            param.copy_(tensors[name])


def add_tensors(digest: Any, tensors: Mapping[str, Tensor], *, typed: bool = True) -> None:
    """Add names, types (if they are not all of one), shapes and values of tensors to a digest, by name."""
    for key, tensor in sorted(tensors.items()):
        digest.update(f"{key}{tensor.dtype if typed else ''}{tuple(tensor.shape)}".encode())
        digest.update(bytes_of(tensor))


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


# A stored number may stand for several of the model's, where weights are packed (4 bits in a float32 at the least).
_PACKED = 8
# What a model may have beyond its files: a pooler or a head that is not used and was not saved.
_UNSAVED = 2**24
_FETCH = "Fetch the files again."


_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars and from reporting what is left out on purpose.

    One thread at a time: how it builds and fills a network is a state of the whole process, as its settings are.
    """
    from transformers.utils import logging

    with _ONE_AT_A_TIME:
        level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            if bar:
                logging.enable_progress_bar()


def read_description(folder: Path, name: str, what: str, *, code: bool = False) -> tuple[Any, Any]:
    """Read configuration and tokenizer of a network of transformers; no configuration where it is `code` of its own.

    `name` and `what` it should be are for the message of the :class:`WeightsError`.
    """
    from transformers import AutoConfig, AutoTokenizer

    own: dict[str, Any] = {"trust_remote_code": code, "local_files_only": True}
    try:
        return None if code else AutoConfig.from_pretrained(folder, **own), AutoTokenizer.from_pretrained(folder, **own)
    except Exception as error:  # a tokenizer that cannot be read raises a bare Exception
        raise WeightsError(f"{name} cannot be loaded as {what}: {type(error).__name__}: {error}") from error


def load_pretrained(
    kind: Any,
    folder: Path,
    config: Any,
    *,
    name: str,
    unused: tuple[str, ...] = (),
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    **options: Any,
) -> Any:
    """Load a network, by a class of transformers, whose files are all in `folder`.

    The configuration is compared with the weights before memory is taken; None where it is code of its own. `name` is
    what messages call it; parameters whose names begin like `unused` may be missing, since nobody reads them; `shapes`
    are those of the stored tensors, if they are in another format than safetensors. `options` are for transformers.
    """
    import torch

    if config is not None:
        if shapes is None:
            shapes = {key: one for file in folder.glob("*.safetensors") for key, one in tensor_shapes(file).items()}
        _refuse_larger(kind, shapes, config, name)
        options["config"] = config
    try:
        # Layers that the files do not hold (a pooler) are drawn at random: not at the caller's expense.
        with quiet_transformers(), torch.random.fork_rng(devices=[]):
            # Wrong shapes are let through here and named below: transformers' own error names none.
            net, report = kind.from_pretrained(
                folder, ignore_mismatched_sizes=True, output_loading_info=True, local_files_only=True, **options
            )
    # Unknown model types, foreign code, missing packages for a quantised format: transformers raises all of these with
    # a message worth passing on.
    except Exception as error:
        raise WeightsError(f"{name} cannot be loaded: {type(error).__name__}: {error}. {_FETCH}") from error
    faults = sorted([*report["missing_keys"], *(key for key, *_ in report["mismatched_keys"])])
    if faults := [key for key in faults if not key.startswith(unused)]:
        raise WeightsError(
            f"{name} lacks {len(faults)} parameters ({', '.join(faults[:3])}, ...) or has them in another shape: they "
            "would be random. Fetch the weights again, or check that config.json belongs to them."
        )
    return net


def _refuse_larger(kind: Any, shapes: Mapping[str, tuple[int, ...]], config: Any, name: str) -> None:
    """Compare the sizes that a configuration asks for with the tensors that are there, before memory is taken."""
    import torch

    if not shapes:  # pickles, which torch reads for tensors only
        return
    there, said = sum(map(math.prod, shapes.values())), f"the configuration of {name}"
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    # Looked at before the model is built: even without weights, a block takes a millisecond and memory of its own.
    if type(layers) is not int or not 0 <= layers <= max(len(shapes), 64):
        raise WeightsError(f"{said} asks for {layers!r:.40} layers, its files have {len(shapes):,} tensors. {_FETCH}")
    with refusing(f"{said} describes no model that can be built", _FETCH), torch.device("meta"):
        wanted = sum(math.prod(one.shape) for one in getattr(kind, "from_config", kind)(config).parameters())
    if wanted > _PACKED * there + _UNSAVED:
        raise WeightsError(
            f"{said} asks for {wanted:,} parameters, its files hold {there:,} numbers: they do not belong together. "
            f"{_FETCH}"
        )
