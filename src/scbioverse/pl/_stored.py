"""Whether an embedding in `obsm` is what a picture would say it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._slots import read_record, records_of
from .._warn import warn
from ..errors import InputError, MismatchError
from ..io import Cells
from ..predict.embedding import changed_since, tokens_in

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse


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
