"""The space in which inputs and texts are compared: soft tokens beside the language model's own states of texts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import InputError
from ..io import row_blocks
from ..llm.represent import default_layer
from .config import TextSpaceConfig

if TYPE_CHECKING:
    from .config import BioVerseConfig
    from .reader import Readers

Float = NDArray[np.float32]
TEMPERATURE = 0.07  # start of the learned InfoNCE temperature (Radford et al. 2021)
_ROWS = 4096


def cosines(rows: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines of n and m unit vectors, float32 (n, m).

    Taken in double precision and rounded: the last digits of a product in single precision depend on which rows lie
    beside a row, and a cell's labels may not.
    """
    columns = texts.T.astype(np.float64)
    out = np.empty((len(rows), len(texts)), dtype=np.float32)
    for part in row_blocks(rows, _ROWS):
        out[part] = rows[part].astype(np.float64) @ columns
    return out


@dataclass(frozen=True, eq=False)
class TextTable:
    """Unit vectors of known texts.

    A language model of 135 M parameters takes minutes on a CPU to read the descriptions of the Cell Ontology's 3,300
    terms. Each number is kept as an integer from -127 to 127 of its row's largest (`codes`, int8 (n, dim)): 0.9 MB for
    3,300 texts and 256 dimensions, and a cosine above 0.9999 with the vector it stands for. A text is known by the
    first 8 bytes of its BLAKE2b hash (`keys`, uint64 (n,), rising), so that one whose wording changed since is simply
    not found.
    """

    keys: NDArray[np.uint64]
    codes: NDArray[np.int8]

    @classmethod
    def build(cls, texts: Sequence[str], coordinates: Float) -> TextTable:
        """Keep unit vectors (n, dim) of n texts; an :class:`InputError` where one occurs twice or there are none."""
        keys = _keys(texts)
        if not len(texts) or len(np.unique(keys)) != len(texts) or coordinates.shape[:1] != (len(texts),):
            raise InputError(f"need different texts and a row for each, found {len(texts)} and {coordinates.shape}.")
        largest = np.abs(coordinates).max(axis=1, keepdims=True).clip(min=1e-12)
        # Rising, so that a text is found by bisection.
        order = np.argsort(keys)
        return cls(keys[order], np.rint(coordinates / largest * 127).astype(np.int8)[order])

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, texts: Sequence[str]) -> tuple[NDArray[np.bool_], Float]:
        """Return which texts are known, bool (n,), and the unit vectors of those, float32 (m, dim)."""
        wanted = _keys(texts)
        at = np.searchsorted(self.keys, wanted).clip(max=len(self.keys) - 1)
        known = self.keys[at] == wanted
        # The factor of each row is lost; unit length brings it back.
        rows = self.codes[at[known]].astype(np.float32)
        return known, rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(min=1e-12)

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold, by name; hashes as int64, which every tensor library knows."""
        return {"keys": torch.from_numpy(self.keys.view(np.int64)), "codes": torch.from_numpy(self.codes)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], dim: int) -> TextTable:
        """Rebuild from :meth:`tensors`; a :class:`ValueError` where they do not fit a space of `dim` dimensions."""
        if {name: one.dtype for name, one in tensors.items()} != {"keys": torch.int64, "codes": torch.int8}:
            raise ValueError("a table of texts needs 'keys' (int64) and 'codes' (int8)")
        keys, codes = tensors["keys"].numpy(), tensors["codes"].numpy()
        if keys.ndim != 1 or not len(keys) or codes.shape != (len(keys), dim):
            raise ValueError(f"a table of texts in {dim} dimensions has keys {keys.shape} and codes {codes.shape}")
        return cls(keys.view(np.uint64), codes)


def _keys(texts: Sequence[str]) -> NDArray[np.uint64]:
    digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


@dataclass(frozen=True)
class TextSpace:
    """A linear map from representations to whitened coordinates on the unit sphere.

    A language model's states lie in a narrow cone along a few directions of huge variance; cosines between them are all
    near 1. Centring (`mean`, (d,)) and whitening (`components`, (d, dim): principal directions, each divided by its
    shrunken standard deviation) make every kept direction count alike.
    """

    mean: Tensor
    components: Tensor

    @classmethod
    def fit(cls, reps: np.ndarray | Tensor, dim: int = 256, *, shrinkage: float = 0.5) -> TextSpace:
        """Fit centre and whitening to representations (n, d) of texts that stand for those to come.

        Component i is v_i / sqrt(l_i + s·m), with (l_i, v_i) the eigenpairs of the covariance in falling order, m the
        mean eigenvalue and s the shrinkage, 0 to whiten fully (whitening after Kessy et al. 2018, The American
        Statistician 72:309, with a ridge as in regularised PCA). At most min(n - 1, d) of `dim` directions are kept.
        """
        X = torch.as_tensor(reps).detach().to("cpu", torch.float64)
        if X.ndim != 2 or len(X) < 2 or dim < 1:
            raise InputError(f"fit needs (n >= 2, d) representations and dim >= 1, found {tuple(X.shape)}, dim={dim}.")
        mean = X.mean(dim=0)
        covariance = torch.cov(X.T, correction=1)
        values, vectors = torch.linalg.eigh(covariance)
        kept = min(dim, len(X) - 1, X.shape[1])
        values, vectors = values.flip(0)[:kept].clamp(min=0), vectors.flip(1)[:, :kept]
        level = float(covariance.diagonal().mean())
        if level <= 0:
            raise InputError("All representations are equal; there is no direction to whiten.")
        # Signs of eigenvectors are arbitrary; fixed here so that two fits of the same data agree.
        largest = vectors.gather(0, vectors.abs().argmax(dim=0, keepdim=True))
        vectors = vectors * torch.where(largest < 0, -1.0, 1.0)
        components = vectors / (values + max(shrinkage, 1e-9) * level).sqrt()
        return cls(mean.float(), components.float().contiguous())

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return int(self.components.shape[1])

    def transform(self, reps: Float) -> Float:
        """Map representations (n, d) to coordinates (n, dim) of length one, float32."""
        centred = torch.from_numpy(np.asarray(reps, dtype=np.float32)) - self.mean
        return normalize(centred @ self.components, dim=-1).numpy()

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must hold, by name."""
        return {"mean": self.mean, "components": self.components}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> TextSpace:
        """Rebuild from :meth:`tensors`; a `KeyError` where one is missing, an :class:`InputError` where they clash."""
        mean, components = tensors["mean"].float(), tensors["components"].float()
        if mean.ndim != 1 or components.ndim != 2 or len(components) != len(mean):
            raise InputError(f"mean {tuple(mean.shape)} and components {tuple(components.shape)} do not fit together.")
        return cls(mean, components)


class SharedHead(nn.Module):
    """A modality's own centre and scale in the text space (`dim` wide), and the learned InfoNCE scale.

    Text representations lie around their own mean, which the text space subtracts. Soft tokens are made for the
    language model's input and lie elsewhere; subtracting the text's mean from them would leave one constant direction
    in which all cells agree. Each modality therefore has its own centre, set on the first data seen and then trained. A
    linear map follows, the identity to begin with: it leaves soft tokens free to be what the language model reads best,
    whatever the text space makes of their mean.
    """

    gain: Tensor
    fitted: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(dim, dim).fill_diagonal_(1.0))
        self.shift = nn.Parameter(torch.zeros(dim))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.uint8))

    @torch.no_grad()
    def fit(self, projected: Tensor) -> None:
        """Centre (n, dim) values at zero and give them unit mean square."""
        centred = projected - projected.mean(dim=0)
        self.gain.copy_(1.0 / centred.pow(2).mean().sqrt().clamp(min=1e-8))
        self.shift.copy_(-projected.mean(dim=0) * self.gain)
        self.fitted.fill_(1)

    def forward(self, projected: Tensor) -> Tensor:
        """Return unit vectors (n, dim)."""
        return normalize((projected * self.gain + self.shift) @ self.mix, dim=-1)


class SharedSpace:
    """A model's side of that space: its fitted `text` side, and each modality's layer into it.

    `text` is None as long as nothing contrastive was trained; of texts in the `table` the place is known already.
    """

    def __init__(
        self,
        config: BioVerseConfig,
        modules: nn.ModuleDict,
        readers: Readers,
        text: TextSpace | None,
        table: TextTable | None,
    ) -> None:
        self.config, self.modules, self.readers, self.text, self.table = config, modules, readers, text, table

    @property
    def dim(self) -> int:
        """Dimensions."""
        return self._fitted()[0].dim

    def _fitted(self) -> tuple[TextSpaceConfig, TextSpace]:
        if self.config.text_space is None or self.text is None:
            raise InputError(
                f"model {self.config.name!r} has no text space: only method='score' works. Train one with "
                "scbioverse.tl.align(adata, text_key=..., loss='contrastive')."
            )
        return self.config.text_space, self.text

    def head(self, modality: str = "cell") -> SharedHead:
        """Return a modality's layer."""
        heads: Any = self.modules["shared"]
        return heads[modality]

    def loaded(self, mean: Tensor) -> Tensor:
        """Mean soft tokens (n, d_llm) on the text side's axes: (n, d_text)."""
        return mean.float() @ self._fitted()[1].components.to(mean.device)

    def place(self, soft: Tensor, modality: str = "cell") -> Tensor:
        """Map soft tokens (n, n_soft, d_llm), or the mean of each input's (n, d_llm), to unit vectors (n, d_text)."""
        return self.head(modality)(self.loaded(soft if soft.ndim == 2 else soft.float().mean(dim=1)))

    def centre(self, soft: Tensor, modality: str = "cell") -> None:
        """Start a modality's layer from soft tokens: centred, with unit mean square. Once is enough."""
        if not self.head(modality).fitted:
            self.head(modality).fit(self.loaded(soft.detach().float().mean(dim=1)))

    def fit(self, texts: Sequence[str], *, layer: int | None = None, dim: int = 256, shrinkage: float = 0.5) -> None:
        """Fit the text side: centre and whiten the states of texts after `layer` blocks (a fifth of all if None)."""
        layer = default_layer(self.readers.backbone) if layer is None else layer
        space = TextSpace.fit(self.readers.represent(texts, layer), dim=dim, shrinkage=shrinkage)
        self.set(space, TextSpaceConfig(layer, space.dim))

    def set(self, text: TextSpace, config: TextSpaceConfig) -> None:
        """Take over a fitted text side of the same language model; layers start anew."""
        self.text, self.config.text_space, self.table = text, config, None
        heads = nn.ModuleDict({modality: SharedHead(config.dim) for modality in self.config.encoders})
        self.modules["shared"] = heads.to(next(self.modules.parameters()).device)

    def take(self, other: SharedSpace) -> None:
        """Take over the text side of another model of the same language model, if it has one."""
        if other.text is not None and other.config.text_space is not None:
            self.set(other.text, other.config.text_space)

    def of_texts(self, texts: Sequence[str]) -> Float:
        """Place texts: float32 (n, d_text), unit length."""
        config, space = self._fitted()
        out = np.empty((len(texts), config.dim), dtype=np.float32)
        new = np.ones(len(texts), dtype=bool)
        if self.table is not None and len(texts):
            known, kept = self.table.find(texts)
            out[known], new = kept, ~known
        if new.any():
            unread = [texts[i] for i in np.flatnonzero(new).tolist()]
            out[new] = space.transform(self.readers.represent(unread, config.layer))
        return out

    def keep(self, texts: Sequence[str], coordinates: Float | None = None) -> None:
        """Remember where different texts lie, in place of those remembered before.

        They need not be read by the language model again; :class:`TextTable` says how exact
        that is. `coordinates`, float32 (n, d_text), are computed if not given.
        """
        self.table = None
        found = self.of_texts(texts) if coordinates is None else coordinates
        self.table = TextTable.build(texts, found)
