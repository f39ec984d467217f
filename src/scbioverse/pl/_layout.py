"""Flat maps of points in many dimensions, and whether a stored embedding is what a picture would say it is."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import SparseEfficiencyWarning

from .._device import Rng, as_seed
from .._logging import logger, warn
from .._slots import read_record, records_of, slot_of
from ..errors import InputError, MismatchError
from ..io import Cells
from ..predict.embedding import changed_since, tokens_in

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..models import BioVerse

MOST_LAID_OUT = 30_000  # above, a UMAP takes minutes, and principal components stand in
# From principal components 500, umap-learn's own number, keep neighbours no better and take 2.5 times as long.
_EPOCHS = 200
MIN_POINTS = 10  # below, there is no neighbour graph to speak of: points stand in a row


def map_slot(embedding: str) -> str:
    """Name the slot in which the page of :func:`scbioverse.serve` keeps a map that it made of an embedding."""
    return f"{embedding}_map"


def stored_map(adata: AnnData, embedding: str) -> str | None:
    """Return the slot of the map to show: the user's UMAP, else the one that the page kept; None without any."""
    return next((slot for slot in ("X_umap", map_slot(embedding)) if slot in adata.obsm), None)


def map_of(
    adata: AnnData, *, basis: str | None = None, use_rep: str | None = None, embedding: str = "X_bioverse",
    rng: Rng = None,
) -> tuple[NDArray[np.float32], str]:  # fmt: skip
    """Return a map of the cells, float32 (n, 2), and what its axes are called.

    `basis` as it is; without it the :func:`stored_map`, unless `use_rep` names another slot to make a map from; else a
    map of `use_rep` or `embedding`, which is not stored: a UMAP, or of more than 30,000 cells the first two principal
    components.
    """
    if basis is None and use_rep is None:
        basis = stored_map(adata, embedding)
    advice = f"Run sb.tl.embed(adata) first, or name another slot with {'basis' if basis else 'use_rep'}=."
    values = np.asarray(slot_of(adata, "obsm", basis or use_rep or embedding, advice), np.float32)
    if basis is not None:
        names = {"X_umap": "UMAP", map_slot(embedding): "map"}
        return values[:, :2], names.get(basis, "UMAP" if "umap" in basis.lower() else basis.removeprefix("X_"))
    values = values.reshape(len(values), -1)
    if len(values) <= MOST_LAID_OUT:
        return umap_layout(values, rng=rng), "UMAP"
    from sklearn.decomposition import PCA

    logger.info("the map of %d cells shows two principal components; for a UMAP run scanpy.tl.umap first", len(values))
    return PCA(n_components=2, random_state=as_seed(rng)).fit_transform(values).astype(np.float32), "PC"


def umap_layout(points: NDArray[np.floating], *, rng: Rng = None) -> NDArray[np.float32]:
    """Lay points (n, d) out in the plane by cosine, the same way for the same seed: float32 (n, 2), columns centred.

    UMAP (McInnes et al. 2018, arXiv:1802.03426) of the 15 exact nearest neighbours, through scanpy. Started from the
    first two principal components, so that groups without a common neighbour keep their places.
    """
    n = len(points)
    if n < MIN_POINTS:
        flat = np.zeros((n, 2), np.float32)
        flat[:, 0] = np.arange(n)
        return flat - flat.mean(axis=0)
    import anndata as ad
    import scanpy as sc
    from sklearn.decomposition import PCA

    if "umap" not in sys.modules:
        logger.info("the first map takes some seconds longer: numba compiles what draws it")
    seed = as_seed(rng)
    points = np.asarray(points, np.float32)
    start = PCA(n_components=2, random_state=seed).fit_transform(points)
    light = ad.AnnData(shape=(n, 0), obsm={"X": points})
    # scikit-learn's neighbours and not pynndescent's: exact, nothing to compile, and quick enough for a picture.
    # Scanpy warns of its own way to write zeros on their diagonal: nothing that who draws a picture could change.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SparseEfficiencyWarning)
        sc.pp.neighbors(
            light, n_neighbors=min(15, n - 1), use_rep="X", metric="cosine", transformer="sklearn", random_state=seed
        )
    spread = 10 / max(float(np.abs(start).max()), 1e-6)
    first = (start * spread).astype(np.float32)
    sc.tl.umap(light, min_dist=0.35, init_pos=first, random_state=seed, maxiter=_EPOCHS)
    flat = np.asarray(light.obsm["X_umap"], np.float32)
    return flat - flat.mean(axis=0)


def check_stored(adata: AnnData, slot: str, model: BioVerse, modality: str) -> None:
    """Compare an embedding's record with a model and with what the data hold now; warn where they have changed since.

    Of an embedding without a record, or with one of a version that kept no digests, nothing is known, and it is drawn
    as it is. That of another encoder is refused: its coordinates would mean nothing.
    """
    record = next((one for step in records_of(adata) if (one := _embedding_record(adata, str(step), slot))), None)
    encoder = model.encoders.get(modality)
    if record is None or encoder is None or getattr(encoder, "key", None) == slot:
        return  # of an encoder that reads this very slot, what lies there is the truth
    if record["fingerprint"] != encoder.fingerprint():
        raise MismatchError(
            f"adata.obsm[{slot!r}] was made by encoder {record.get('encoder')!r} ({record['fingerprint']:.16}), model "
            f"{model.name!r} reads that of {encoder.name!r} ({encoder.fingerprint():.16}). Run sb.tl.embed(adata, "
            f"model=...) with the model that is drawn, or draw the model that it was made with."
        )
    if not record.get("output_digest"):
        return
    cells = Cells.of(adata, record.get("layer"), record.get("key"))
    if changed_since(cells, slot, record, tokens_in(adata.obsm[slot]), encoder):
        warn(
            f"the data or their rows have changed since adata.obsm[{slot!r}] was made: the picture shows them as they "
            "were embedded then. Run sb.tl.embed(adata) again to see them as they are."
        )


def _embedding_record(adata: AnnData, step: str, slot: str) -> dict[str, str] | None:
    if not step.startswith("embed"):
        return None
    try:
        record = read_record(adata, step)
    except InputError:
        return None
    return record if record.get("slot") == slot and record.get("fingerprint") else None
