"""Retrieval: rows scored by texts, the best texts of each row, and similar rows, of this table or another.

Where known rows are near, words are compared, too: those of the neighbours' texts, and of a text put together of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._logging import logger, warn
from .._slots import columns_of
from ..errors import InputError, check_columns
from ..llm.prompts import clean_text
from ..pp._smiles import parse_smiles
from ..pp._text_column import cell_text
from .cells_meant import CellsMeant, has_vocabulary
from .compose import are_captions, compose_for
from .descriptions import reference_texts
from .embedding import represent_rows
from .homologues import can_search, known_sequences, search, sequences_of
from .known_molecules import known_molecules
from .molecules_meant import N_NEIGHBOURS, Known, MoleculesMeant
from .neighbours import Metric, View, compared_views, fingerprints, known_rows, nearest_rows, similarities

if TYPE_CHECKING:
    from anndata import AnnData
    from scipy import sparse

    from .._slots import Slots
    from ..models import BioVerse
    from .embedding import Representation
    from .neighbours import Neighbours

Float = NDArray[np.float32]
# Longer texts say no more to the model, which reads 256 tokens.
MOST_CHARS = 2000
MOST_SCORED = 1000
# Texts of which each row keeps a few; each is read by the lower part of the language model once.
MOST_SEARCHED = 200_000
TOP_K = 10
# Rows that are what the words mean more likely than not.
FITS = 0.5


@dataclass(frozen=True)
class Texts:
    """Texts to compare with rows."""

    names: list[str]  # what each is called in the results, different from one another
    texts: list[str]  # what the model reads
    several: bool = True  # whether a list was meant, be it of one text

    @property
    def record(self) -> list[dict[str, str]]:
        """What a record says of them."""
        return [{"name": name, "text": text} for name, text in zip(self.names, self.texts, strict=True)]


@dataclass(frozen=True, eq=False)
class Found:
    """Results of a retrieval, by what their slots end in."""

    obs: dict[str, Any]  # suffix of the slot to values
    obsm: dict[str, Any]
    record: dict[str, Any]  # what is recorded of this way of searching
    embedded: Representation | None = None  # of the rows, where it was made or read


def read_texts(query: Any, text_key: str, *, searched: bool) -> Texts:
    """Read one text, a list, a mapping from names to texts, or the different texts of a table's column.

    `searched`: each row keeps the best few, so that there may be many. A :class:`MissingKeyError` where the table has
    no such column, an :class:`InputError` where there is no text, one is empty or too long, there are too many, or two
    have one name.
    """
    if hasattr(query, "obs"):
        column = _column_texts(query, text_key)
        return Texts(column, column)
    if isinstance(query, str):
        said = clean_text(query, max_chars=MOST_CHARS)
        return Texts([said], [said], several=False)
    raw = list(query.values()) if isinstance(query, Mapping) else list(query) if isinstance(query, Sequence) else []
    if not raw or not all(isinstance(one, str) for one in raw):
        raise InputError("query must be one text, a list of texts, or a mapping from names to texts; it must hold one.")
    most = MOST_SEARCHED if searched else MOST_SCORED
    if len(raw) > most:
        raise InputError(f"{len(raw)} texts are too many; at most {most}. With direction='text' pass top_k=.")
    texts = [clean_text(one, max_chars=MOST_CHARS) for one in raw]
    names = [clean_text(str(one)) for one in query] if isinstance(query, Mapping) else texts
    if len(set(names)) < len(names):
        raise InputError("two texts have the same name or wording; give each once.")
    return Texts(names, texts)


def _column_texts(table: AnnData, text_key: str) -> list[str]:
    check_columns(table.obs, [text_key], "Name the column of texts with text_key=.", table="query")
    column = table.obs[text_key].astype(object).dropna()
    texts = [text for text in dict.fromkeys(" ".join(str(one).split()) for one in column) if text]
    if not 1 <= len(texts) <= MOST_SEARCHED:
        raise InputError(
            f"query.obs[{text_key!r}] holds {len(texts)} different texts; 1 to {MOST_SEARCHED} can be read."
        )
    return texts


def has_words(model: BioVerse, modality: str, *, reference: bool) -> bool:
    """Whether words are linked for a modality, so that rows can be scored by what they mean."""
    return has_vocabulary(model) if modality == "cell" else reference or modality in model.phrase_books


def known_rows_near(
    adata: AnnData, reference: AnnData, text_key: str, model: BioVerse, *, modality: str, key: str | None,
    layer: str | None, slots: Slots, rows: NDArray[np.integer] | None = None, written: bool = False,
) -> Known:  # fmt: skip
    """Find rows of a reference that have texts and lie near to each row.

    Molecules by the Tanimoto similarity of their Morgan fingerprints, whose scale is known; proteins by
    :func:`.search`; others as in :func:`.compared_views`. Where it is to be `written`, a text is put together for each
    molecule, if the known ones are captions. Raises what :func:`.reference_texts` does.
    """
    texts = reference_texts(reference, text_key)
    told, asked = np.array(list(map(bool, texts))), adata if rows is None else adata[rows]
    column = key or ("smiles" if modality == "molecule" else "sequence")
    both = column in adata.obs and column in reference.obs
    if modality == "protein" and both and can_search():
        mine, known = sequences_of(asked, column), known_sequences(reference, column)
        hits = search(mine, known, min(N_NEIGHBOURS, int(told.sum())), among=told)
        return Known(hits.near, texts, floor=0.0)
    molecules = modality == "molecule" and both
    if molecules:
        theirs = known_molecules(reference, column).fingerprints()
        views = [View(fingerprints(asked, column), theirs, "tanimoto")]
    else:
        views, _ = compared_views(
            adata, reference, model, modality=modality, use_rep=None, metric="cosine", key=key, layer=layer,
            slots=slots, rows=rows,
        )  # fmt: skip
    near = nearest_rows(views, min(N_NEIGHBOURS, known_rows(views, told).size), among=told)
    said: list[str] = []
    if written and molecules and are_captions(near, texts):
        said, _ = compose_for(asked, reference, near, texts, column, named=True)
    return Known(near, texts, said=said)


def fitting_rows(
    embedded: Representation, wanted: Texts, model: BioVerse, modality: str, *, reference: AnnData | None,
    text_key: str, key: str | None, layer: str | None, slots: Slots,
) -> Found:  # fmt: skip
    """Score every row by what each text means, see :func:`has_words`."""
    if modality == "cell":
        return fitting_cells(embedded, wanted, model)
    adata = embedded.cells.adata
    known = None
    if reference is not None:
        known = known_rows_near(
            adata, reference, text_key, model, modality=modality, key=key, layer=layer, slots=slots
        )  # fmt: skip
    return fitting_molecules(embedded, wanted, model, modality, known, key)


def fitting_cells(embedded: Representation, wanted: Texts, model: BioVerse) -> Found:
    """Score every cell by what each text means: how likely it is such a cell; see :class:`.CellsMeant`.

    A warning says that a text, or a part of it, links to no type, gene or description: its scores are NaN.
    """
    from ..knowledge.meaning import meaning_of

    meanings = list(map(meaning_of, wanted.texts))
    cells = CellsMeant(embedded, model, meanings)
    scores = np.stack(list(map(cells.scores, meanings)), axis=1)
    texts = []
    for name, text, meaning in zip(wanted.names, wanted.texts, meanings, strict=True):
        texts.append({"name": name, "text": text, "meaning": cells.said(meaning), "not_used": meaning.left_out()})
        if meaning.op == "nothing":
            _warn_of_nothing(text, "its words link to no cell type, gene or description that is known here")
        elif missing := cells.missing(meaning):
            _warn_of_nothing(text, f"{', '.join(missing)} was not measured in these data")
        else:
            logger.info("%r was read as: %s", text, texts[-1]["meaning"])
    return _scored(scores, wanted, {"texts": texts, "scale": "probability", "embedding": embedded.slot}, embedded)


def fitting_molecules(
    embedded: Representation, wanted: Texts, model: BioVerse, modality: str, known: Known | None, key: str | None
) -> Found:
    """Score every molecule or protein by what each text says of a class; see :class:`.MoleculesMeant`.

    A warning says that a text is said of no class that is known: its scores are NaN.
    """
    obs, column = embedded.cells.adata.obs, key or "smiles"
    mols = None
    if modality == "molecule" and column in obs:
        mols = [one.mol for one in parse_smiles(map(cell_text, obs[column].astype(object)))]
    rows = MoleculesMeant(embedded.values, model, modality, known, mols)
    found = list(map(rows.scores, wanted.texts))
    for text, one in zip(wanted.texts, found, strict=True):
        if one is None:
            more = "" if known else "; pass reference=, rows with texts"
            _warn_of_nothing(text, f"its words are said of no role or class of a {modality} that is known here{more}")
    empty = np.full(len(embedded.values), np.nan)
    scores = np.stack([empty if one is None else one for one in found], axis=1)
    record = {
        "texts": wanted.record,
        "scale": "probability",
        "embedding": embedded.slot,
        "reference": known is not None,
    }
    return _scored(scores, wanted, record, embedded)


def _warn_of_nothing(text: str, why: str) -> None:
    warn(f"Nothing fits {text[:80]!r}: {why}. Its scores are NaN; scale='cosine' scores any text, by nearness alone.")


def _scored(scores: NDArray[np.floating], wanted: Texts, record: dict[str, Any], embedded: Representation) -> Found:
    """Put scores (n, m) of texts into slots; `_fits` where they are probabilities of one text."""
    table = pd.DataFrame(scores.astype(np.float32), columns=columns_of(wanted.names))
    if wanted.several:
        return Found({}, {"": table}, record, embedded)
    one = table.iloc[:, 0].to_numpy()
    fits = {"_fits": one >= FITS} if record["scale"] == "probability" else {}
    return Found({"": one, **fits}, {}, record, embedded)


def compared_with_texts(
    embedded: Representation, texts: Sequence[str], model: BioVerse, modality: str, known: Known | None
) -> list[View]:
    """Compare rows with texts: in the shared space, and by words where there are known neighbours.

    These words are those of the neighbours' texts and, of molecules, of the caption put together from them, with the
    names of relatives.
    """
    views = [View(model.coordinates(embedded.values, modality), model.text_coordinates(list(texts)))]
    if known is not None:
        views += words_views(known.near, known.texts, texts, known.said)
    return views


def score_texts(
    embedded: Representation, wanted: Texts, model: BioVerse, modality: str, *, scale: str, known: Known | None = None
) -> Found:
    """Score every row by every text: their cosine, mean over views; `"zscore"`: standardised over the rows."""
    views = compared_with_texts(embedded, wanted.texts, model, modality, known)
    cosines = [similarities(one.queries, one.pool, "cosine") for one in views]
    scores = np.average(cosines, axis=0, weights=[one.weight for one in views])
    if scale == "zscore":
        spread = scores.std(axis=0)
        scores = (scores - scores.mean(axis=0)) / np.where(spread > 0, spread, 1)
    return _scored(scores, wanted, {"texts": wanted.record, "scale": scale, "embedding": embedded.slot}, embedded)


def best_texts(
    embedded: Representation, wanted: Texts, model: BioVerse, modality: str, top_k: int, known: Known | None = None
) -> Found:
    """Find the `top_k` texts nearest to each row, see :func:`compared_with_texts`."""
    views = compared_with_texts(embedded, wanted.texts, model, modality, known)
    return _best(views, min(top_k, len(wanted.texts)), wanted.names, embedded, n_texts=len(wanted.texts))


def similar_rows(
    adata: AnnData,
    table: AnnData | None,
    model: BioVerse,
    top_k: int,
    *,
    modality: str,
    query_modality: str | None,
    use_rep: str | None,
    metric: Metric,
    key: str | None,
    layer: str | None,
    slots: Slots,
) -> Found:
    """Find the `top_k` rows of a table, or of `adata` itself, that are most similar to each row.

    Rows of one modality are compared by their embeddings (molecules by fingerprints as well), rows of two in the space
    shared with text.
    """
    other = adata if table is None else table
    theirs = query_modality or modality
    if not hasattr(other, "obsm"):
        raise InputError(
            f"direction='similar' needs rows: pass an AnnData or None as query, not {type(table).__name__}."
        )
    if theirs != modality and use_rep is not None:
        raise InputError("rows of two modalities meet in the space shared with text: leave use_rep out.")
    embedded: Representation | None
    if theirs == modality:
        views, embedded = compared_views(
            adata, other, model, modality=modality, use_rep=use_rep, metric=metric, key=key, layer=layer, slots=slots
        )
    else:
        embedded = represent_rows(adata, model, modality=modality, key=key, layer=layer, slots=slots)
        second = represent_rows(other, model, modality=theirs, slots=slots)
        views = [View(model.coordinates(embedded.values, modality), model.coordinates(second.values, theirs))]
    most = known_rows(views).size - (table is None)
    if most < 1:
        raise InputError(f"{other.n_obs} row(s) hold nothing to compare with.")
    space = use_rep or ("embedding" if theirs == modality else "shared")
    return _best(
        views, min(top_k, most), list(map(str, other.obs_names)), embedded, same=table is None,
        n_rows=other.n_obs, query_modality=theirs, space=space,
    )  # fmt: skip


def _best(
    views: Sequence[View], k: int, names: Sequence[str], embedded: Representation | None, *, same: bool = False,
    **record: Any,
) -> Found:  # fmt: skip
    near = nearest_rows(views, k, same=same)
    called = np.array([*names, ""], dtype=object)  # the last is for rows without neighbours, whose position is -1
    obs = {"": called[near.rows[:, 0]], "_score": near.similarity[:, 0]}
    return Found(obs, {"": near.similarity, "_rows": near.rows}, {"top_k": near.rows.shape[1], **record}, embedded)


# How much faster than similarity a neighbour's weight grows; chosen on 298 captions put aside for development, as were
# the weights of the views below beside the space shared with text, which counts 1.
POWER = 8
OF_NEIGHBOURS, OF_WRITTEN = 1.0, 1.5
_FEATURES = 2**13
# So many known texts tell which words are rare.
_COUNTED = 5000
_WORDS: dict[str, Any] = {"ngram_range": (1, 2), "token_pattern": r"\w+|[^\w\s]"}
# Three to five letters: by them the many names of one group (hexadecanoyl, hexadecanoic, hexadecanoate) are alike.
_PIECES: dict[str, Any] = {"ngram_range": (3, 5), "analyzer": "char_wb"}


class CountedTexts:
    """Texts as vectors of what is in them, by its rarity among `known` texts (TF-IDF).

    Counts are hashed into 8,192 features (Weinberger et al. 2009, arXiv:0902.2206): of `pieces` of words, which suits
    names of chemistry, or of words and pairs of words.
    """

    def __init__(self, known: Sequence[str], *, pieces: bool) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

        counted = _PIECES if pieces else _WORDS
        self._counts = HashingVectorizer(n_features=_FEATURES, norm=None, alternate_sign=False, **counted)
        some = known[:: -(-len(known) // _COUNTED)]
        self._rarity = TfidfTransformer(sublinear_tf=True).fit(self._counts.transform(some))

    def of(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """Vectors of texts, float64 (n, 8192), of length 1, or 0 for an empty one."""
        return self._rarity.transform(self._counts.transform(texts))


def words_views(
    near: Neighbours, known: Sequence[str], texts: Sequence[str], written: Sequence[str] = ()
) -> list[View]:
    """Compare rows with texts by the words of their neighbours' texts, and of what was written of each, if anything.

    `near` are neighbours of each row among those with `known` texts, `written` a text of each row, `""` for none: where
    it is given, pieces of words are compared, otherwise whole ones.
    """
    from scipy import sparse

    counted = CountedTexts(known, pieces=bool(written))
    pool = counted.of(texts).astype(np.float32)
    n, k = near.rows.shape
    weight = np.where(near.rows >= 0, np.nan_to_num(near.similarity).clip(0) ** POWER, 0.0)
    used, at = np.unique(np.maximum(near.rows, 0), return_inverse=True)
    mixed = sparse.csr_array((weight.ravel(), at.ravel(), np.arange(0, n * k + 1, k)), shape=(n, len(used)))
    views = [_view(mixed @ counted.of([known[i] for i in used]), near.rows[:, 0] < 0, pool, OF_NEIGHBOURS)]
    if written:
        views.append(_view(counted.of(written), np.array([not one for one in written]), pool, OF_WRITTEN))
    return views


def _view(vectors: Any, missing: NDArray[np.bool_], pool: Any, weight: float) -> View:
    from scipy import sparse

    # Sparse: 200,000 texts would take 6.5 GB. One NaN is enough to say that a row is not known.
    at = np.flatnonzero(missing)
    unknown = sparse.csr_array((np.full(at.size, np.nan), (at, np.zeros_like(at))), shape=vectors.shape)
    return View((sparse.csr_array(vectors) + unknown).astype(np.float32), sparse.csr_array(pool), weight=weight)
