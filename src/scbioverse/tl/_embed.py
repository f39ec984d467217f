"""`sb.tl.embed`: rows of an AnnData to embeddings in `obsm`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .._device import Rng, as_seed, place_encoder
from .._slots import Slots, check_target, takes_mudata, write_results
from ..encoders._distinct import DistinctPlan, TextEncoder
from ..encoders._resolve import SHORT_NAMES
from ..errors import InputError
from ..io import Cells
from ..models._hub import given_encoder
from ..predict.embedding import embed_anew, long_run

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

    from ..encoders import Encoder
    from ..models import BioVerse


@takes_mudata
def embed(
    adata: AnnData,
    *,
    model: str | Path | BioVerse | Encoder = "bioverse-small",
    modality: str = "cell",
    key: str | None = None,
    key_added: str | None = None,
    layer: str | None = None,
    batch_size: int = 512,
    sequences: Mapping[str, str] | pd.Series | pd.DataFrame | AnnData | None = None,
    invalid: Literal["raise", "skip"] = "raise",
    device: str = "auto",
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Embed every row with a model's frozen encoder.

    Rows are read and encoded a batch at a time, so that data may be in memory, backed by a file or dask. Each row is
    embedded by itself: the result depends neither on the other rows nor on `batch_size`.

    Molecules and proteins are read from a column of `obs`: each distinct one is embedded once and spread over its rows,
    so that rows may as well be cells and the column the drug they saw. A row without one (NaN or "") gets NaN. Surface
    proteins of CITE-seq are read from their counts, see `sequences`.

    Parameters
    ----------
    adata
        For cells, raw counts or log-normalised values, found out and said in the log; gene symbols or Ensembl ids.
        Of a MuData the part for `modality` is used and filled (`"rna"` for cells, `"prot"` for proteins).
    model
        Name of a model (see :func:`scbioverse.models.list_models`), path of one, a model, or an encoder. For molecules
        also `"chemnet"` or `"morgan"`, for proteins `"kmer"`, for both a Hugging Face folder or hub name. For cells
        also a trained SCVI or SCANVI model of scvi-tools, its folder or its hub id, or the folder of a Geneformer.
    modality
        Which of the model's encoders to use.
    key
        Where the input is: for cells the column of `adata.var` with gene names (its index if not given), for
        precomputed representations the name in `adata.obsm`, for molecules and proteins the column of `adata.obs`
        (`"smiles"`, `"sequence"`), with `sequences` the name of the counts in `adata.obsm` (`"protein_expression"`).
    key_added, layer
        Stem of the slot names; layer to read, `X` if not given, `adata.raw` for `"raw"`.
    batch_size
        Rows held in memory at once.
    sequences
        Name of a measured surface protein → amino acid sequence, or a table of proteins (a column `"sequence"`, names
        in the index). Each cell then gets the mean of its proteins' embeddings, weighted by abundance: see
        :class:`scbioverse.encoders.SurfaceProteinEncoder`.
    invalid
        What to do with a SMILES or sequence that cannot be read: `"raise"`, or `"skip"`: its row gets NaN.
    device
        A torch device, or `"auto"`: `settings.device`, else the first GPU, else the CPU. What is handed in is moved.
    rng, copy
        Seed, kept in the record, since nothing is drawn; and whether to return a copy and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets `obsm["X_bioverse"]` (`"X_bioverse_<modality>"` for other modalities than cells),
    float32 (n_obs, dim), or (n_obs, n_tokens, dim) if the encoder gives more than one token a row; and a record in
    `uns["bioverse"]` with model, encoder fingerprint, matched genes, scale, and digests of what was read and of the
    result, by which other verbs know whether it is still that of the data.

    Raises
    ------
    InputError
        The data cannot be used; the message says why. `adata` is unchanged.
    MissingKeyError
        `layer` or `key` is not there.
    WeightsError
        The model is not found or damaged.

    Examples
    --------
    >>> sb.tl.embed(adata)
    >>> adata.obsm["X_bioverse"].shape
    (2700, 128)
    """
    check_target(adata)
    encoder, model_name = _encoder(model, modality)
    place_encoder(encoder, device)
    if sequences is not None:
        from ..encoders import SurfaceProteinEncoder

        encoder = SurfaceProteinEncoder(encoder, _sequence_table(sequences))
    slots = Slots() if key_added is None else Slots(key_added)
    plan = _text_plan(encoder, adata, key, invalid)
    cells = Cells.of(adata, layer, key)
    with long_run("embed", cells, encoder.fingerprint()):
        made = embed_anew(encoder, cells, slots, model=model_name, batch_size=batch_size, seed=as_seed(rng), plan=plan)
    return write_results(adata, "embed", obsm=made.obsm, records=made.records, copy=copy)


def _encoder(model: str | Path | BioVerse | Encoder, modality: str) -> tuple[Encoder, str]:
    """Return the encoder for `modality` and the name of what it belongs to."""
    if (given := given_encoder(model, modality)) is not None:
        found: Mapping[str, Encoder] = {given.modality: given}
        name = given.name
    else:
        from ..models import load

        loaded = load(model)  # type: ignore[arg-type]  # encoders were taken above
        found, name = loaded.encoders, loaded.name
    if modality not in found:
        others = [repr(short) for short, one in SHORT_NAMES.items() if one == modality]
        raise InputError(
            f"model {name!r} has no encoder for modality {modality!r} (found: {sorted(found)})"
            + (f". Name one: model={' or '.join(others)}, or a Hugging Face folder." if others else "")
        )
    return found[modality], name


def _text_plan(
    encoder: Encoder, adata: AnnData, key: str | None, invalid: Literal["raise", "skip"]
) -> DistinctPlan | None:
    """Have an encoder of texts read its column, by what `invalid` says; others read cells and have no plan."""
    if isinstance(encoder, TextEncoder):
        return encoder.plan(adata, key=key, invalid=invalid)
    if invalid != "raise":
        raise InputError(f"invalid={invalid!r} is for texts (SMILES, sequences); encoder {encoder.name!r} reads none")
    return None


def _sequence_table(sequences: Any) -> Mapping[str, str]:
    """Protein name → sequence, from whatever holds it."""
    table = sequences.obs if hasattr(sequences, "obs") else sequences
    if hasattr(table, "columns"):
        if "sequence" not in table.columns:
            raise InputError(f"sequences has no column 'sequence' (found: {list(map(str, table.columns))})")
        table = table["sequence"]
    return {str(name): str(text) for name, text in dict(table).items()}
