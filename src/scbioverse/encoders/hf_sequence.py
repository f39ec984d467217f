"""Any Hugging Face encoder of SMILES or amino acid sequences: ChemBERTa, ESM-2, ProtBert, AntiBERTy, ...

First how a tokenizer takes such texts (spelling, special tokens, windows), then the encoder.
"""

from __future__ import annotations

import hashlib
import string
import zipfile
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self, TypeAlias

import numpy as np
import torch

from .._device import BatchSize, length_batches, pick_device
from .._hub_files import find, hub_name
from .._tensor_files import add_tensors, check_torch_zip, load_pretrained, read_description, safetensors_of
from .._untrusted import check_plain, passes, refuse_code
from ..errors import InputError, WeightsError, check_choice
from ..pp._sequences import SEQUENCE_VERSION, clean_sequence
from ..pp._smiles import SMILES_VERSION, Salts, parse_smiles
from ._distinct import TextEncoder
from ._registry import read_config, register, same_fingerprint, write_config
from ._sequences import pooled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

# These number their positions from the padding id + 1, so that two of them are never used.
_OFFSET_POSITIONS = frozenset({"roberta", "camembert", "xlm-roberta", "esm", "longformer", "mpnet"})
_NO_LIMIT = 100_000  # tokenizers without a limit say a number far above this
_PROBE = {"protein": "ACDEFGHIK", "molecule": "CCO"}


@dataclass
class Spelling:
    """How texts are written for one tokenizer, found out by trying.

    `spaced`: residues are separated by spaces (ProtBert). `replace`: letters that it does not know, and what stands for
    them. `prefix` and `suffix`: special tokens around a text.
    """

    tokenizer: Any
    modality: str
    spaced: bool = False
    replace: dict[int, str] = field(default_factory=dict)
    prefix: list[int] = field(default_factory=list)
    suffix: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.modality == "protein":
            self._try_residues()
        bare, whole = self.ids([_PROBE[self.modality]])[0], self._call(_PROBE[self.modality], special=True)
        at = next((i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare), None)
        if at is None or not bare:
            raise WeightsError(f"the tokenizer does not read {_PROBE[self.modality]!r}: it gives {whole} and {bare}")
        self.prefix, self.suffix = whole[:at], whole[at + len(bare) :]

    def _try_residues(self) -> None:
        unknown = self.tokenizer.unk_token_id
        for self.spaced in (False, True):
            ids = self.ids([_PROBE["protein"]])[0]
            if ids and unknown not in ids:
                break
        else:
            raise WeightsError(
                f"the tokenizer knows no residues: {_PROBE['protein']!r} gives {ids}, with and without spaces. "
                "Its files (vocab.txt, tokenizer_config.json) may be incomplete, or do_lower_case may be on."
            )
        for letter in string.ascii_uppercase:
            ids = self.ids([letter])[0]
            if not ids or unknown in ids:
                self.replace[ord(letter)] = "X"
        if ord("X") in self.replace:
            # No letter for an unknown residue: leave it to the tokenizer's own unknown token.
            self.replace = {}

    def ids(self, values: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens left out."""
        return [self._call(value, special=False) for value in values]

    def _call(self, value: str, *, special: bool) -> list[int]:
        text = value.translate(self.replace)
        text = " ".join(text) if self.spaced else text
        # verbose=False: a text above the limit is expected here, windows are cut afterwards.
        return list(self.tokenizer(text, add_special_tokens=special, truncation=False, verbose=False)["input_ids"])

    def room(self, config: Any) -> int | None:
        """Most tokens of a text that the network takes at once, None without limit."""
        limits = [getattr(self.tokenizer, "model_max_length", None)]
        if getattr(config, "position_embedding_type", "absolute") != "relative":
            positions = getattr(config, "max_position_embeddings", None)
            offset = 2 if getattr(config, "model_type", "") in _OFFSET_POSITIONS else 0
            limits.append(None if positions is None else positions - offset)
        held = [int(limit) for limit in limits if limit is not None and 0 < limit < _NO_LIMIT]
        if not held:
            return None
        room = min(held) - len(self.prefix) - len(self.suffix)
        if room < 1:
            raise WeightsError(f"the network takes {min(held)} tokens, special ones included: no room for a text")
        return room


def windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Cut 0..length into windows of at most `size` that overlap by `overlap` or, the last one, by more.

    Every position is covered, all windows but a single one have the full size.
    """
    if size < 1 or not 0 <= overlap < size:
        raise InputError(f"a window must have at least one token and overlap by less; found {size} and {overlap}")
    if length <= size:
        return [(0, length)]
    starts = [*range(0, length - size, size - overlap), length - size]
    return [(start, start + size) for start in starts]


def coverage_weights(length: int, cuts: list[tuple[int, int]]) -> list[NDArray[np.float32]]:
    """Weight of each token in each window so that every position of the text counts 1 / length in all."""
    covered = np.zeros(length)
    for start, stop in cuts:
        covered[start:stop] += 1
    return [(1 / (covered[start:stop] * length)).astype(np.float32) for start, stop in cuts]


Pooling: TypeAlias = Literal["mean", "cls"]
_VERSION = "hf-sequence-v1"
_MODALITIES = {"protein": ("sequence", "amino acid sequence"), "molecule": ("smiles", "SMILES")}
_TOKENS = 16_384  # padded tokens in one pass through the network
# Layers above the hidden states: they may be random, and are not used.
_UNUSED = ("pooler.", "contact_head.", "decoder.", "lm_head.")
_WINDOW = 1022  # ESM-2 and its kin were trained on this many residues


class _Piece(NamedTuple):
    """One window of one text."""

    text: int
    ids: list[int]
    weights: NDArray[np.float32]


@register("hf_sequence")
class HFSequenceEncoder(TextEncoder):
    """A Hugging Face encoder over SMILES or residues, its last hidden states pooled to one vector.

    Residues are written with spaces where the tokenizer needs that, and residues that it does not know become X. SMILES
    are brought to rdkit's canonical form. Texts longer than a window are cut into overlapping ones: each token's hidden
    states are averaged over the windows that hold it, then over tokens, special tokens left out (`pooling="mean"`); or
    the windows' first special tokens are averaged (`"cls"`).

    Parameters
    ----------
    source
        Folder with `config.json`, weights and tokenizer, or a name on the hub, `"owner/name"` or
        `"owner/name@revision"`, fetched where it is not in the hub's cache here.
    modality
        `"protein"` or `"molecule"`.
    pooling
        `"mean"` or `"cls"`.
    window
        Most tokens read at once, special ones not counted; less where the network takes less.
    overlap
        Tokens that neighbouring windows share; an eighth of the window if not given.
    salts
        Which of several parts of a molecule to read, see :func:`scbioverse.pp.molecules`.
    device
        `"cpu"`, `"cuda"`, ...; `settings.device` if not given.
    trust_remote_code
        Run Python code that comes with the weights. Some models (MoLFormer) cannot be loaded otherwise. It can do
        anything: read it first and pin the revision.

    Raises
    ------
    InputError
        A parameter has no meaning.
    OfflineError
        The name would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
    WeightsError
        The files are not there, damaged, lack parameters, hold no encoder of such texts, or ask for code of their own
        that `trust_remote_code` does not allow. Pickled weights are read for tensors only; anything else is refused.
    """

    default_key: ClassVar[str]
    noun: ClassVar[str]

    def __init__(
        self,
        source: str | Path,
        *,
        modality: Literal["protein", "molecule"],
        pooling: Pooling = "mean",
        window: int = _WINDOW,
        overlap: int | None = None,
        salts: Salts = "strip",
        device: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        check_choice("modality", modality, *_MODALITIES)
        check_choice("pooling", pooling, "mean", "cls")
        self.modality, self.pooling, self.salts = modality, pooling, salts
        self.default_key, self.noun = _MODALITIES[modality]  # type: ignore[misc]
        self.source, self.trust_remote_code = str(source), bool(trust_remote_code)
        self.device = pick_device(device)
        net, tokenizer, self.revision = _load(self.source, trust_remote_code=self.trust_remote_code)
        self.net = net.eval().requires_grad_(False).to(self.device)
        self.spelling = Spelling(tokenizer, modality)
        if pooling == "cls" and not self.spelling.prefix:
            raise WeightsError(f"{self.source} puts no special token before a text: use pooling='mean'")
        room = self.spelling.room(net.config)
        self.window = min(int(window), room) if room is not None else int(window)
        self.overlap = self.window // 8 if overlap is None else int(overlap)
        windows(1, self.window, self.overlap)
        self.dim = int(net.config.hidden_size)
        self.name = Path(self.source).name if Path(self.source).is_dir() else self.source

    def to(self, device: str) -> Self:
        """Run on another device from now on; returns the encoder itself."""
        self.device = pick_device(device)
        self.net.to(self.device)
        return self

    def __repr__(self) -> str:
        return (
            f"HFSequenceEncoder({self.source!r}, modality={self.modality!r}, pooling={self.pooling!r}, dim={self.dim})"
        )

    @cached_property
    def _fingerprint(self) -> str:
        text = SEQUENCE_VERSION if self.modality == "protein" else f"{SMILES_VERSION} {self.salts}"
        spelling = [self.spelling.spaced, sorted(self.spelling.replace), self.spelling.prefix, self.spelling.suffix]
        made = hashlib.sha256(f"{_VERSION} {text} {self.pooling} {self.window} {self.overlap} {spelling}".encode())
        made.update(str(sorted(self.spelling.tokenizer.get_vocab().items())).encode())
        # A pooler above the hidden states may be random, and is not used.
        state = self.net.state_dict().items()
        add_tensors(made, {key: tensor for key, tensor in state if not key.startswith("pooler.")})
        return made.hexdigest()

    def clean(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Return (residues or canonical SMILES, problem) for each text."""
        if self.modality == "protein":
            return [(one.text, one.problem) for one in map(clean_sequence, values)]
        return [(one.canonical, one.problem) for one in parse_smiles(values, salts=self.salts)]

    @torch.inference_mode()
    def embed_texts(self, values: Sequence[str]) -> NDArray[np.float32]:
        """Embed cleaned texts: float32 (n, dim)."""
        out = torch.zeros(len(values), self.dim)
        pieces = list(self._pieces(values))
        for rows in length_batches(np.array([len(piece.ids) for piece in pieces]), _TOKENS):
            batch = [pieces[row] for row in rows]
            if len(values) > 1 or len(batch) == 1:  # where memory runs out, the caller hands in fewer texts
                out.index_add_(0, torch.tensor([piece.text for piece in batch]), self._pool(batch))
                continue
            memory = BatchSize(len(batch), what=f"windows of one {self.modality}", hint="Use device='cpu'.")
            for _, some in memory.each(len(batch), lambda part, batch=batch: self._pool(batch[part])):  # type: ignore[misc]
                out[0] += some.sum(dim=0)
        return out.numpy()

    def _pool(self, batch: list[_Piece]) -> torch.Tensor:
        """Run windows through the network: float32 (n, dim), each window's states weighted and summed."""
        fill = self.spelling.tokenizer.pad_token_id or 0
        ids, weights = [np.array(piece.ids) for piece in batch], [piece.weights for piece in batch]
        return pooled(self.net, ids, weights, pad=fill, device=self.device)

    def _pieces(self, values: Sequence[str]) -> Iterator[_Piece]:
        """Windows with special tokens around, and what each of their tokens counts in the pooled vector."""
        prefix, suffix = self.spelling.prefix, self.spelling.suffix
        for text, ids in enumerate(self.spelling.ids(values)):
            cuts = windows(len(ids), self.window, self.overlap)
            for (start, stop), weights in zip(cuts, coverage_weights(len(ids), cuts), strict=True):
                counts = np.zeros(len(prefix) + len(weights) + len(suffix), dtype=np.float32)
                if self.pooling == "cls":
                    counts[0] = 1 / len(cuts)
                else:
                    counts[len(prefix) :][: len(weights)] = weights
                yield _Piece(text, [*prefix, *ids[start:stop], *suffix], counts)

    def save(self, folder: str | Path) -> Path:
        """Write `encoder.json`, which names source, revision and fingerprint, into `folder` and return it.

        The weights are not copied: the same folder or hub name must be there when the encoder is read.
        """
        names = ("source", "revision", "modality", "pooling", "window", "overlap", "salts", "dim")
        config = {name: getattr(self, name) for name in names}
        return write_config(folder, {"kind": "hf_sequence", **config, "fingerprint": self.fingerprint()})

    @classmethod
    def from_folder(cls, folder: str | Path) -> HFSequenceEncoder:
        """Read what :meth:`save` wrote. Never runs code that comes with weights, nor fetches what a file mentions.

        A :class:`MismatchError` where the weights found are others, an :class:`OfflineError` where they are not on this
        machine.
        """
        found = read_config(folder)
        source = found["source"]
        if found.get("revision") and not Path(source).is_dir():
            source = f"{source.split('@')[0]}@{found['revision']}"
        names = ("modality", "pooling", "window", "overlap", "salts")
        if not Path(source).is_dir():
            how = f"sb.encoders.HFSequenceEncoder({source!r}, modality={found['modality']!r})"
            _from_hub(source, mentioned=f"It is the encoder of {folder}. Fetch it by its name: {how}.")
        encoder = cls(source, **{name: found[name] for name in names})
        same_fingerprint(folder, found.get("fingerprint"), encoder.fingerprint(), source)
        return encoder


def _load(source: str, *, trust_remote_code: bool) -> tuple[Any, Any, str | None]:
    """Network, tokenizer and, for a hub name, the commit."""
    from transformers import AutoModel

    path, commit = Path(source).expanduser(), None
    if not path.is_dir():
        path = _from_hub(source, code=trust_remote_code)
        commit = path.name
    # From a folder alone: transformers looks for adapters on the hub, whatever it is told, when given a name.
    if not trust_remote_code:
        refuse_code(path)
    # Before torch 1.6 its files were no zip archives.
    tensors = any(path.glob("*.safetensors"))
    for file in () if tensors else sorted(path.glob("pytorch_model*.bin")):
        if zipfile.is_zipfile(check_plain(file)):
            check_torch_zip(file)
    config, tokenizer = read_description(path, repr(source), "a Hugging Face encoder", code=trust_remote_code)
    kind: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": trust_remote_code}
    net = load_pretrained(AutoModel, path, config, name=repr(source), unused=_UNUSED, **kind)
    if getattr(net.config, "is_encoder_decoder", False):
        net = net.get_encoder()
    return net, tokenizer, commit


def _from_hub(source: str, *, code: bool = False, mentioned: str = "") -> Path:
    """Folder of a hub name's files: the copy here, else fetched where the user named it."""
    named = hub_name(source)
    if named is None:
        raise WeightsError(f"{source!r} is neither a folder nor a name on the hub ('owner/name')")
    wanted = ["*.json", "*.txt", "*.model", "*.safetensors", *(["*.py"] if code else [])]
    folder = find(named.repo, named.revision, wanted, ready=_is_whole, mentioned=mentioned)
    if not _is_whole(folder):  # older models have pickles alone, which are read for tensors only
        folder = find(named.repo, named.revision, [*wanted, "pytorch_model*.bin"], ready=_is_whole)
    return folder


def _is_whole(folder: Path) -> bool:
    """Whether configuration and weights are there; of weights in several files all, so that a stopped fetch goes on."""
    weights = passes(safetensors_of, folder) or (
        any(folder.glob("pytorch_model*.bin")) and not any(folder.glob("*.safetensors*"))
    )
    return (folder / "config.json").is_file() and weights
