"""Networks of transformers loaded from a folder: nothing in it is run, nothing stays random, nothing is printed."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ._tensor_files import tensor_shapes
from ._untrusted import refusing
from .errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# A stored number may stand for several of the model's, where weights are packed (4 bits in a float32 at the least).
_PACKED = 8
# What a model may have beyond its files: a pooler or a head that is not used and was not saved.
_UNSAVED = 2**24
_FETCH = "Fetch the files again."


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from drawing bars and from reporting what is left out on purpose."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def load_pretrained(
    kind: Any, folder: Path, config: Any, *, name: str, unused: tuple[str, ...] = (), **options: Any
) -> Any:
    """Load a network, by a class of transformers, whose files are all in `folder`.

    The configuration is compared with the weights before memory is taken; None where it is code of its own. `name` is
    what messages call it; parameters whose names begin like `unused` may be missing, since nobody reads them; `options`
    are for `from_pretrained`.
    """
    import torch

    if config is not None:
        _refuse_larger(kind, folder, config, name)
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


def _refuse_larger(kind: Any, folder: Path, config: Any, name: str) -> None:
    """Compare the sizes that a configuration asks for with the tensors that are there, before memory is taken."""
    import torch

    shapes = {key: shape for file in folder.glob("*.safetensors") for key, shape in tensor_shapes(file).items()}
    if not shapes:  # pickles, which torch reads for tensors only
        return
    there = sum(map(math.prod, shapes.values()))
    file = folder / "config.json"
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    # Looked at before the model is built: even without weights, a block takes a millisecond and memory of its own.
    if type(layers) is not int or not 0 <= layers <= max(len(shapes), 64):
        raise WeightsError(f"{file} asks for {layers!r:.40} layers, {name} has {len(shapes):,} tensors. {_FETCH}")
    with refusing(f"{file} describes no model that can be built", _FETCH), torch.device("meta"):
        wanted = sum(math.prod(one.shape) for one in getattr(kind, "from_config", kind)(config).parameters())
    if wanted > _PACKED * there + _UNSAVED:
        raise WeightsError(
            f"{file} asks for {wanted:,} parameters, the files of {name} hold {there:,} numbers: they do not belong "
            f"together. {_FETCH}"
        )
