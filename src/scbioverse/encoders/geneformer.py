"""Geneformer: cells as genes in order of rank, read by a BERT body (Theodoris et al., Nature 618, 616-624, 2023).

The body is a bidirectional transformer over sequences of very different lengths: they are batched by length.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import scipy.sparse as sp
import torch

from .._device import length_batches, pick_device
from .._hub_files import COMMIT, find, hub_name
from .._logging import logger
from .._tensor_files import add_tensors, load_pretrained, quiet_transformers, safetensors_of
from .._untrusted import passes, read_json_object, refuse_code, refusing
from ..errors import InputError, MismatchError, WeightsError, check_choice
from ._rank_value import RankColumns, RankedCells, RankVocabulary, find_columns, rank_tokens
from ._registry import FrozenEncoder, read_config, register, write_config
from ._sequences import pooled
from ._unpickle import load_table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import BertModel

    from ..io import Cells

DType = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Padded tokens of one forward pass: what stays in a processor's cache, and what fills a GPU.
TOKENS_CPU, TOKENS_GPU = 8_192, 131_072


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn `"auto"` or a name into the number type to multiply in: half precision on a GPU, float32 elsewhere."""
    check_choice("dtype", dtype, "auto", *_DTYPES)
    if dtype in _DTYPES:
        return _DTYPES[dtype]
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def read_body_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a folder that holds a BERT."""
    config = read_json_object(folder / "config.json")
    if (found := config.get("model_type")) != "bert":
        raise WeightsError(f"{folder} holds a model of type {found!r}; expected 'bert'.")
    return config


def load_body(folder: Path, *, layer: int = 0) -> BertModel:
    """Load a BERT body from a folder of safetensors, as float32 on the CPU, running no code from it.

    A masked-language model's folder serves as well, its head is left out. `layer` is the one whose states are wanted,
    counted back from the last (0); layers above it are not loaded.
    """
    from transformers import BertConfig, BertModel

    with refusing(f"{folder / 'config.json'} describes no BERT", "Fetch it again."):
        config = BertConfig.from_dict(read_body_config(folder))
        n_layers = int(config.num_hidden_layers)
    if not -n_layers < layer <= 0:
        raise InputError(f"layer={layer}; the model has {n_layers} layers: choose from {1 - n_layers} to 0 (the last).")
    # Layers that nobody reads are neither loaded nor run.
    config.num_hidden_layers = n_layers + layer
    safetensors_of(folder)
    refuse_code(folder)
    options: dict[str, Any] = {"add_pooling_layer": False, "use_safetensors": True, "dtype": torch.float32}
    return load_pretrained(BertModel, folder, config, name=str(folder), **options)


# In the official repository the dictionaries lie in the package's folder beside those of the models. What lies loose
# beside a model's folder is another model's.
_PLACES = ("geneformer", "gene_dictionaries_30m", "geneformer/gene_dictionaries_30m")
_TOKENS = "token_dictionary"
_SUFFIXES = (".pkl", ".pickle", ".json", ".json.gz")


def fetch_folder(model: str | Path) -> Path:
    """Return the folder of a model: itself, or fetched from the hub."""
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    named = hub_name(str(model), folders=True)
    if named is None or not COMMIT.fullmatch(named.revision or ""):
        raise WeightsError(
            f"no Geneformer {str(model)!r}: it is not a folder. From the hub, pin the revision: "
            "'owner/name/subfolder@<40-digit commit>'."
        )
    head = f"{named.folder}/" if named.folder else ""
    patterns = [f"{head}config.json", f"{head}*.safetensors", "geneformer/*dict*.pkl", "geneformer/*/*dict*.pkl"]
    fetched = find(named.repo, named.revision, patterns, ready=lambda root: _is_whole(root / named.folder))
    return fetched / named.folder


def _is_whole(folder: Path) -> bool:
    return (folder / "config.json").is_file() and passes(safetensors_of, folder) and bool(token_dictionaries(folder))


def token_dictionaries(folder: Path) -> list[Path]:
    """Token dictionaries in and beside a model's folder."""
    places = [folder, *(base / place for base in (folder, folder.parent) for place in _PLACES)]
    found = [path for place in places for path in sorted(place.glob(f"{_TOKENS}*"))]
    return [path for path in dict.fromkeys(found) if path.name.endswith(_SUFFIXES)]


def find_vocabulary(folder: Path, vocab_size: int) -> RankVocabulary:
    """Read the dictionaries that belong to a model, which are those with as many tokens as it embeds."""
    sizes = {}
    for path in token_dictionaries(folder):
        tokens = load_table(path)
        sizes[path] = len(tokens)
        if len(tokens) != vocab_size:
            continue
        medians = path.with_name(path.name.replace(_TOKENS, "gene_median_dictionary"))
        symbols = {}
        for stem in ("ensembl_mapping_dict", "gene_name_id_dict"):
            further = path.with_name(path.name.replace(_TOKENS, stem))
            symbols.update(load_table(further) if further.is_file() else {})
        return RankVocabulary.from_tables(tokens, load_table(medians), symbols)
    listed = ", ".join(f"{path.name} with {n:,}" for path, n in sizes.items()) or "none"
    raise WeightsError(
        f"no dictionaries for the model in {folder}, which embeds {vocab_size:,} tokens (token dictionaries found: "
        f"{listed}). Pass tokens= and medians=, or keep the official layout: token_dictionary_*.pkl and "
        "gene_median_dictionary_*.pkl in the folder or in geneformer/ beside it."
    )


VERSION = "rank-value/1"
VOCABULARY, BODY = "vocabulary.json", "body"
Pooling = Literal["cls", "mean"]


@register("geneformer")
class GeneformerEncoder(FrozenEncoder):
    """Rank-value encoding and a BERT body to one float32 vector a cell.

    Both generations are read: V1 (25,426 tokens, up to 2,048 genes, no special tokens) and V2 (20,275 tokens, up to
    4,096 positions, `<cls>` and `<eos>` around the genes); vocabulary and body say which. Usually made by :meth:`load`.

    Parameters
    ----------
    body
        BERT body; its last hidden state is read. Taken over: frozen and moved to `device`.
    vocabulary
        Tokens and medians.
    pooling
        `"mean"` over the genes' states (special tokens and padding left out), or `"cls"`; if not given, what the
        published extraction does: `<cls>` where there is one, else the mean.
    name
        Name shown in records.
    min_genes
        Fewest vocabulary genes that a data set must have.
    device
        `"cpu"`, `"cuda"`, ...; `settings.device` if `"auto"`.
    dtype
        Number type of matrix products: `"auto"` is bfloat16, or float16, on a GPU and float32 elsewhere.
    max_tokens
        Most tokens of a forward pass, padding included; chosen by device if not given. Changes speed and memory only.

    Raises
    ------
    MismatchError
        The body has no embedding for a token of the vocabulary.
    InputError
        `pooling="cls"` without such a token.
    """

    modality: str = "cell"
    # Reads nothing but genes, each cell by itself: blocks can be embedded where they lie.
    by_block: bool = True

    def __init__(
        self,
        body: BertModel,
        vocabulary: RankVocabulary,
        *,
        pooling: Pooling | None = None,
        name: str = "geneformer",
        min_genes: int = 100,
        device: str = "auto",
        dtype: DType = "auto",
        max_tokens: int | None = None,
    ) -> None:
        if vocabulary.largest_token >= body.config.vocab_size:
            raise MismatchError(
                f"the dictionary has tokens up to {vocabulary.largest_token}, the body embeds {body.config.vocab_size}"
                ": take both from the same generation of Geneformer."
            )
        pooling = pooling or ("mean" if vocabulary.cls is None else "cls")
        check_choice("pooling", pooling, "cls", "mean")
        if pooling == "cls" and vocabulary.cls is None:
            raise InputError("pooling='cls' needs a <cls> token, which the first generation of Geneformer has not.")
        self.name, self.vocabulary, self.min_genes = name, vocabulary, int(min_genes)
        self.pooling: Pooling = pooling
        self.dim = int(body.config.hidden_size)
        self.input_size = int(body.config.max_position_embeddings)
        # Half precision that a file holds would be fingerprinted as other weights.
        self.body = body.float().eval().requires_grad_(False)
        self._dtype, self._max_tokens = dtype, max_tokens
        self.to(device)

    def to(self, device: str) -> Self:
        """Run on another device from now on, in the number type and with the batches that suit it; returns itself."""
        self.device = pick_device(device)
        self.dtype = pick_dtype(self._dtype, self.device)
        self.max_tokens = self._max_tokens or (TOKENS_CPU if self.device.type == "cpu" else TOKENS_GPU)
        self.body.to(self.device)
        return self

    def __repr__(self) -> str:
        return (
            f"GeneformerEncoder({self.name!r}, {len(self.vocabulary.genes)} genes, {self.input_size} positions, "
            f"dim {self.dim}, {self.pooling})"
        )

    @classmethod
    def load(
        cls,
        model: str | Path,
        *,
        tokens: str | Path | None = None,
        medians: str | Path | None = None,
        symbols: str | Path | None = None,
        layer: int = -1,
        pooling: Pooling | None = None,
        name: str | None = None,
        **options: Any,
    ) -> GeneformerEncoder:
        """Load a published Geneformer.

        Parameters
        ----------
        model
            Folder with `config.json` and safetensors, or `"owner/name/subfolder@<40-digit commit>"` on the hub,
            fetched where it is not in the hub's cache here.
        tokens, medians
            The dictionaries, as official pickles (read without running them) or JSON; looked for in and beside the
            folder, as the official repository lays them out, if not given.
        symbols
            Dictionary of further gene names to Ensembl ids, likewise.
        layer
            Layer to read, counted as the published extraction does: 0 is the last, -1 (default) the one before.
        pooling
            See the class.
        name
            Name shown in records; the folder's if not given.
        **options
            `min_genes`, `device`, `dtype`, `max_tokens`: see the class.

        Raises
        ------
        WeightsError
            Files are missing, damaged or refused.
        OfflineError
            It would have to be fetched, and `settings.offline` is on or the hub cannot be reached.
        """
        folder = fetch_folder(model)
        config = read_body_config(folder)
        if tokens is None or medians is None:
            vocabulary = find_vocabulary(folder, int(config.get("vocab_size", 0)))
        else:
            vocabulary = RankVocabulary.from_files(tokens, medians, symbols)
        body = load_body(folder, layer=layer)
        return cls(body, vocabulary, pooling=pooling, name=name or folder.name, **options)

    @cached_property
    def _fingerprint(self) -> str:
        # Neither device nor number type.
        digest = hashlib.sha256(json.dumps([VERSION, self.vocabulary.fingerprint(), self.pooling]).encode())
        config = self.body.config
        shape = [config.num_attention_heads, config.hidden_act, config.layer_norm_eps, self.input_size]
        digest.update(json.dumps(shape).encode())
        add_tensors(digest, self.body.state_dict())
        return digest.hexdigest()

    def _columns(self, cells: Cells) -> RankColumns:
        """Find the genes and have the matrix checked: counts, or log-normalised values, which give the same order."""
        columns = find_columns(cells, self.vocabulary, min_genes=self.min_genes)
        logger.info("%s; %s", columns.describe(len(self.vocabulary.genes)), cells.info.describe())
        return columns

    def summary(self, cells: Cells) -> dict[str, Any]:
        """Plain values for the record in `uns`."""
        return {
            "n_genes": int(cells.once(self._columns).genes.size),
            "n_genes_vocabulary": len(self.vocabulary.genes),
            "scale": cells.info.scale,
            "log_base": cells.info.log_base,
        }

    def input_digest(self, cells: Cells) -> str:
        """Digest of what is read: matrix and names of genes."""
        return cells.info.digest

    def tokenize(self, cells: Cells, rows: slice | NDArray[np.integer]) -> RankedCells:
        """Rank the genes of the cells `rows`; special tokens are not in the result."""
        columns = cells.once(self._columns)
        counts = cells.linear(rows).astype(np.float64)
        place = np.full(columns.n_input, -1, dtype=np.int32)
        place[columns.columns] = columns.places
        at = place[counts.indices]
        kept = np.concatenate(([0], np.cumsum(at >= 0)))[counts.indptr]
        shape = (counts.shape[0], columns.genes.size)
        known = sp.csr_array((counts.data[at >= 0], at[at >= 0], kept), shape=shape)
        known.sum_duplicates()
        genes = columns.genes
        return rank_tokens(
            known,
            np.asarray(counts.sum(axis=1)).ravel(),
            self.vocabulary.medians[genes],
            self.vocabulary.tokens[genes],
            max_genes=self.input_size - self.vocabulary.n_special,
        )

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> RankedCells:
        """Read, rank and tokenise the cells `rows`, special tokens included."""
        ranked, n_special = self.tokenize(cells, rows), self.vocabulary.n_special
        if not n_special:
            return ranked
        stops = np.cumsum(ranked.lengths)
        ends = np.stack([stops - ranked.lengths, stops], axis=1).ravel()
        special = np.tile(np.array([self.vocabulary.cls, self.vocabulary.eos], dtype=np.int32), ranked.lengths.size)
        return RankedCells(np.insert(ranked.ids, ends, special), ranked.lengths + n_special, n_special)

    def encode(self, batch: RankedCells) -> NDArray[np.float32]:
        """Embed one batch: float32 (n, 1, dim); zeros for a cell without a gene where the mean is taken."""
        ids = np.split(batch.ids, np.cumsum(batch.lengths)[:-1])
        out = np.zeros((len(ids), self.dim), dtype=np.float32)
        # Where memory does not suffice for so many tokens, fewer cells are handed in (`_device.BatchSize`).
        for rows in length_batches(batch.lengths, self.max_tokens):
            weights = [self._weights(int(n)) for n in batch.lengths[rows]]
            given = [ids[row] for row in rows]
            found = pooled(self.body, given, weights, pad=self.vocabulary.pad, device=self.device, dtype=self.dtype)
            out[rows] = found.numpy()
        return out[:, None]

    def _weights(self, length: int) -> NDArray[np.float32]:
        """How much each token's state counts: the first alone, or all genes alike."""
        out = np.zeros(length, dtype=np.float32)
        if self.pooling == "cls":
            out[0] = 1
            return out
        around = self.vocabulary.n_special // 2
        genes = out[around : length - around]
        genes[:] = 1 / max(genes.size, 1)
        return out

    def save(self, folder: str | Path) -> Path:
        """Write body, vocabulary and `encoder.json` into `folder` and return it."""
        fields = {"name": self.name, "pooling": self.pooling, "min_genes": self.min_genes}
        folder = write_config(folder, {"kind": "geneformer", "preprocessing": VERSION, **fields})
        with quiet_transformers():
            self.body.save_pretrained(folder / BODY, safe_serialization=True)
        (folder / VOCABULARY).write_bytes(self.vocabulary.to_json())
        return folder

    @classmethod
    def from_folder(cls, folder: str | Path) -> GeneformerEncoder:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where a file is missing or damaged."""
        folder, needs = Path(folder), ("name", "pooling", "min_genes")
        config = read_config(folder, needs=needs, preprocessing=VERSION)
        options = {name: config[name] for name in needs}
        return cls(load_body(folder / BODY), RankVocabulary.from_json(folder / VOCABULARY), **options)
