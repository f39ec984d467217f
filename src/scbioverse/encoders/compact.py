"""The compact cell encoder: a small network over a fixed human gene vocabulary, fast on a CPU."""

from __future__ import annotations

import copy
import gzip
import hashlib
import json
import math
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from .._logging import logger
from .._tensor_files import add_tensors, read_tensors
from .._untrusted import read_gzip, refusing
from ..errors import InputError
from ._panel_share import VERSION, GeneStats
from ._registry import CONFIG, FORMAT_VERSION, FrozenEncoder, number, read_config, register, whole_number, write_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ..io import Cells

WEIGHTS, GENES = "encoder.safetensors", "genes.txt.gz"
_STATS = ("mean", "sd", "profile")
_NET = "net."
_LONGEST_GENES = 16 * 2**20  # all gene names of all species that anybody measured take less
_LEAST_ROWS = 16
OutNorm: TypeAlias = Literal["l2", "none"]


class ResidualBlock(nn.Module):
    """`x + Linear(GELU(Linear(LayerNorm(x))))`, width kept."""

    def __init__(self, width: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, width)
        self.drop = nn.Dropout(dropout)
        self.down = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, width) to (n, width)."""
        return x + self.down(self.drop(functional.gelu(self.up(self.norm(x)))))


class CompactNet(nn.Module):
    """Clipped z-scores of G genes to a cell embedding.

    `Linear(G, hidden)`, LayerNorm, GELU, `n_blocks` residual blocks, LayerNorm, `Linear(hidden, dim)`; with
    `out_norm="l2"` the output is scaled to length `sqrt(dim)`, so that its entries have unit mean square. Dropout
    follows each GELU, in training only.
    """

    def __init__(
        self,
        n_genes: int,
        hidden: int = 256,
        dim: int = 128,
        n_blocks: int = 1,
        dropout: float = 0.0,
        out_norm: OutNorm = "l2",
    ) -> None:
        super().__init__()
        if out_norm not in ("l2", "none"):
            raise ValueError(f"out_norm must be 'l2' or 'none'; found {out_norm!r}")
        self.n_genes, self.hidden, self.dim, self.n_blocks = n_genes, hidden, dim, n_blocks
        self.out_norm: OutNorm = out_norm
        self.first = nn.Linear(n_genes, hidden)
        self.first_norm = nn.LayerNorm(hidden)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(ResidualBlock(hidden, dropout) for _ in range(n_blocks))
        self.last_norm = nn.LayerNorm(hidden)
        self.last = nn.Linear(hidden, dim)

    def forward(self, z: Tensor) -> Tensor:
        """Embed dense z-scores (n, G), 0 where a gene was not measured: (n, dim)."""
        return self.rest(self.first(z))

    def rest(self, pre: Tensor) -> Tensor:
        """Everything after the first linear layer, (n, hidden) to (n, dim); the sparse path enters here."""
        h = self.drop(functional.gelu(self.first_norm(pre)))
        for block in self.blocks:
            h = block(h)
        out = self.last(self.last_norm(h))
        if self.out_norm == "l2":
            out = functional.normalize(out, dim=-1) * math.sqrt(self.dim)
        return out


class CompactBatch(NamedTuple):
    """Cells as bags of expressed genes."""

    genes: Tensor  # int32 (nnz,): positions in the vocabulary
    values: Tensor  # float32 (nnz,): z-score minus the z-score at zero counts
    starts: Tensor  # int32 (n,): where each cell begins
    empty: Tensor  # bool (n,): cells without counts in the matched genes
    base: Tensor  # float32 (hidden,): first layer where every measured gene is zero

    @property
    def n_empty(self) -> int:
        """Number of cells without counts."""
        return int(self.empty.sum())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run torch on one thread for a moment.

    The layers are so small that threads spend their time waiting for each other: one thread embeds about 10,000 cells a
    second, and on a busy machine several times as many as two threads do.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@register("compact")
class CompactCellEncoder(FrozenEncoder):
    """Counts or log values of any human gene panel to one float32 vector a cell.

    The first layer is applied to the expressed genes only, which gives what the dense network gives. Weights are kept
    at float16 precision from the start, so that an encoder just trained and the same one read back from its folder
    agree bit for bit.

    Parameters
    ----------
    net
        The network; copied, put into evaluation mode and rounded to float16 precision.
    stats
        Vocabulary and statistics that the network was trained with.
    name
        Name shown in records.
    min_genes
        Fewest vocabulary genes that a data set must have.
    """

    modality: str = "cell"
    # Reads nothing but genes, each cell by itself: blocks can be embedded where they lie.
    by_block: bool = True

    def __init__(self, net: CompactNet, stats: GeneStats, *, name: str = "compact", min_genes: int = 100) -> None:
        if net.n_genes != stats.n_genes:
            raise InputError(f"the network reads {net.n_genes} genes, the statistics hold {stats.n_genes}")
        self.name, self.stats, self.min_genes = name, stats, int(min_genes)
        self.net = copy.deepcopy(net).to("cpu", torch.float16).to(torch.float32).eval().requires_grad_(False)
        self.dim = net.dim
        # One copy of the widest matrix, laid out by gene; the linear layer keeps a transposed view of it.
        self._table = self.net.first.weight.data.t().contiguous()
        self.net.first.weight.data = self._table.t()

    def __repr__(self) -> str:
        return f"CompactCellEncoder({self.name!r}, {self.stats.n_genes} genes, dim {self.dim})"

    @cached_property
    def _fingerprint(self) -> str:
        # What changes no embedding, a name or a floor, changes no fingerprint.
        shape = {key: value for key, value in self._config().items() if key not in ("name", "min_genes")}
        digest = hashlib.sha256(json.dumps([VERSION, shape], sort_keys=True).encode())
        digest.update("\n".join(self.stats.genes).encode())
        add_tensors(digest, self._tensors())
        return digest.hexdigest()

    def _read(self, cells: Cells) -> Tensor:
        """Return the first layer's output for a cell in which every measured gene is zero."""
        match = cells.match(self.stats.genes, min_genes=self.min_genes)
        scores = cells.once(self.stats.read)
        panel = scores.panel
        base = self.net.first.bias + torch.from_numpy(panel.zero) @ self._table[torch.from_numpy(panel.vocab)]
        logger.info("%s; %s", match.describe(), cells.info.describe())
        return base

    def summary(self, cells: Cells) -> dict[str, Any]:
        """Plain values for the record in `uns`."""
        cells.once(self._read)
        scores = cells.once(self.stats.read)
        return {
            "n_genes": int(scores.match.vocab.size),
            "n_genes_vocabulary": scores.match.n_vocab,
            "panel_share": round(scores.panel.share, 6),
            "scale": cells.info.scale,
            "log_base": cells.info.log_base,
        }

    def input_digest(self, cells: Cells) -> str:
        """Digest of what is read: matrix and names of genes, and whether genes without a value are taken for silent."""
        return cells.info.digest + (f"-unlisted-{cells.unlisted}" if cells.unlisted else "")

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> CompactBatch:
        """Scale the cells `rows`; what :meth:`_read` refuses is refused at the first call."""
        base, scores = cells.once(self._read), cells.once(self.stats.read)
        offsets, empty = scores.offsets(rows, cells.linear(rows, scores.match.columns))
        return CompactBatch(
            torch.from_numpy(scores.panel.vocab.astype(np.int32)[offsets.indices]),
            torch.from_numpy(offsets.data),
            torch.from_numpy(offsets.indptr[:-1].astype(np.int32)),
            torch.from_numpy(empty),
            base,
        )

    @torch.inference_mode()
    def encode(self, batch: CompactBatch) -> NDArray[np.float32]:
        """Embed one batch: float32 (n, 1, dim)."""
        if batch.starts.numel() == 0:
            return np.empty((0, 1, self.dim), dtype=np.float32)
        with _one_thread():
            pre = functional.embedding_bag(
                batch.genes, self._table, batch.starts, mode="sum", per_sample_weights=batch.values
            )
            pre += batch.base
            # A cell without counts has no measured gene at all: its z-scores are 0, not those of silent genes.
            pre[batch.empty] = self.net.first.bias
            # Products of a few rows go another way in the processor, with other last bits: what a row gets must not
            # depend on how many are computed with it.
            n, lacking = len(pre), max(0, _LEAST_ROWS - len(pre))
            return self.net.rest(functional.pad(pre, (0, 0, 0, lacking)))[:n].unsqueeze(1).numpy()

    def _config(self) -> dict[str, Any]:
        return {
            "kind": "compact",
            "version": FORMAT_VERSION,
            "name": self.name,
            "preprocessing": VERSION,
            "dim": self.dim,
            "hidden": self.net.hidden,
            "n_blocks": self.net.n_blocks,
            "out_norm": self.net.out_norm,
            "n_genes": self.stats.n_genes,
            "min_genes": self.min_genes,
            "target_sum": self.stats.target_sum,
            "clip": list(self.stats.clip),
        }

    def _tensors(self) -> dict[str, Tensor]:
        # Statistics stay float32: shares of a profile are far below float16's normal range.
        tensors = {name: torch.from_numpy(getattr(self.stats, name)) for name in _STATS}
        net = {_NET + key: value.to(torch.float16).contiguous() for key, value in self.net.state_dict().items()}
        return tensors | net

    def save(self, folder: str | Path) -> Path:
        """Write the encoder's three files into `folder` and return it."""
        folder = write_config(folder, self._config())
        save_file(self._tensors(), folder / WEIGHTS)
        # Time and name are left out of the gzip header: equal vocabularies give equal files.
        (folder / GENES).write_bytes(gzip.compress("\n".join(self.stats.genes).encode(), mtime=0))
        return folder

    @classmethod
    def from_folder(cls, folder: str | Path) -> CompactCellEncoder:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where files are missing or do not fit together."""
        config, folder = read_config(folder, preprocessing=VERSION), Path(folder)
        text, tensors = read_gzip(folder / GENES, most=_LONGEST_GENES), read_tensors(folder / WEIGHTS)
        with refusing(f"the files of the encoder in {folder} do not fit together", "Save or fetch them again."):
            genes = text.decode().split("\n")
            sizes = {name: whole_number(config, name) for name in ("n_genes", "hidden", "dim", "min_genes")}
            if len(genes) != sizes["n_genes"]:
                raise ValueError(f"{GENES} lists {len(genes):,} genes, {CONFIG} says {sizes['n_genes']:,}")
            # Blocks are made one by one: their number is compared with the tensors there are before that.
            n_blocks = whole_number(config, "n_blocks", least=0, most=len(tensors))
            with torch.device("meta"):
                net = CompactNet(len(genes), sizes["hidden"], sizes["dim"], n_blocks, out_norm=config["out_norm"])
            state = {key.removeprefix(_NET): value for key, value in tensors.items() if key.startswith(_NET)}
            net.load_state_dict({k: v.to(torch.float32) for k, v in state.items()}, assign=True)
            mean, sd, profile = (tensors[name].to(torch.float32).numpy() for name in _STATS)
            low, high = (number({"clip": one}, "clip") for one in config["clip"])
            stats = GeneStats(tuple(genes), mean, sd, profile, number(config, "target_sum"), (low, high))
        return cls(net, stats, name=str(config.get("name", "compact")), min_genes=sizes["min_genes"])
