"""A caption of a molecule from the captions of its neighbours: sentence by sentence, facts by vote and by structure.

Which neighbour's definition it takes, and which roles and classes, was learned from training captions.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from .._settings import settings
from ..knowledge.captions import Caption, bare, read_caption, with_article
from ..pp._smiles import parse_smiles
from ..pp._text_column import cell_text
from .descriptions import neighbour_weights, overlaps, word_pairs
from .known_molecules import ACID, BASE, MIRROR, TAUTOMER, NamedMolecules, Relatives, known_molecules

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from .neighbours import Neighbours

WEIGHTS = Path(__file__).with_name("caption_choice.json")
# Similarity by which a neighbour counts e times as much: near ones only, or all of them.
_SOFT = (0.02, 0.05, 0.12, 0.4)
_MOST = 8
_SHORTEST_NAME = 4


@dataclass(frozen=True)
class ChoiceWeights:
    """Weights of the features below, fitted by `recipes/bioverse_small/caption_choice.py`."""

    definition: tuple[float, ...]  # one a column of `definition_features`
    # For "roles" and "classes": one a column of `item_features`, and a constant behind them.
    items: Mapping[str, tuple[float, ...]]
    least: Mapping[str, float]  # probability from which an item is said, by kind

    @classmethod
    @cache
    def shipped(cls) -> ChoiceWeights:
        """Read the weights that come with the package."""
        return cls(**json.loads(WEIGHTS.read_text(encoding="utf-8")))


def definition_features(
    edited: Sequence[str],
    changed: Sequence[bool],
    similarity: NDArray[np.floating],
    own: Relatives,
    mol: Any,
    known: Sequence[Any],
) -> NDArray[np.float64]:
    """Features of each definition that a molecule may have, float64 (k, 12).

    `edited` are definitions of its neighbours with its `own` relatives' names in them, `changed` whether one was put
    in, `similarity` (k,) that of the neighbours, the nearest first; `mol` and `known` rdkit molecules, its own and its
    neighbours'.
    """
    counts = list(map(word_pairs, edited))
    sizes, f1 = np.array([one.total() for one in counts]), overlaps(counts)
    agreement = [f1 @ neighbour_weights(similarity, soft) for soft in _SOFT[1:]]
    longer = np.log(sizes / (sizes @ neighbour_weights(similarity, _SOFT[2])))
    said = [one.lower() for one in edited]
    parts = {name.lower() for name in own.telling().values() if len(name) >= _SHORTEST_NAME}
    covered = [sum(len(name) for name in parts if name in one) / len(one) for one in said]
    forms = [sum(name.lower() in one for name in own.ions.values()) for one in said]
    atoms, charge, centres = _structure(mol)
    others = list(map(_structure, known))
    apart = [sum(abs(atoms.get(a, 0) - one[0].get(a, 0)) for a in {*atoms, *one[0]}) for one in others]
    return np.column_stack(
        [
            similarity, *agreement, longer, abs(longer), covered, forms, changed, np.log1p(apart),
            [one[1] != charge for one in others], [abs(one[2] - centres) for one in others],
        ]
    ).astype(np.float64)  # fmt: skip


def item_features(
    items: Sequence[Sequence[str]], similarity: NDArray[np.floating], definition: str
) -> tuple[list[str], NDArray[np.float64]]:
    """Find all items that some neighbour has, and the features of each: float64 (n_items, 13).

    `items` are roles, or classes, of each neighbour with their articles, `similarity` (k,) theirs, the nearest first;
    `definition` is the one that was chosen.
    """
    said: dict[str, list[int]] = {}
    form: dict[str, str] = {}
    for at, some in enumerate(items):
        for one in dict.fromkeys(some):
            said.setdefault(bare(one), []).append(at)
            form.setdefault(bare(one), one)
    weights = [neighbour_weights(similarity, soft) for soft in _SOFT]
    silent = float(sum(weights[1][at] for at, some in enumerate(items) if not some))
    low, best = definition.lower(), float(similarity[0])
    rows = []
    for one, holding in said.items():
        share = [float(weight[holding].sum()) for weight in weights]
        odds = [float(np.log(p / (1 - p))) for p in np.clip(share, 1e-3, 1 - 1e-3)]
        rows.append(
            [
                *share,
                *odds,
                float(similarity[holding[0]]),
                best,
                float(holding[0] == 0),
                silent,
                float(one.rstrip("s") in low),
            ]
        )
    return list(form.values()), np.array(rows, dtype=np.float64).reshape(-1, 13)


def likely_items(
    weights: ChoiceWeights, kind: str, items: Sequence[Sequence[str]], similarity: NDArray[np.floating], definition: str
) -> tuple[str, ...]:
    """Items that hold with enough probability, the likeliest first."""
    names, features = item_features(items, similarity, definition)
    *slope, constant = weights.items[kind]
    score = features @ np.array(slope) + constant
    least = np.log(weights.least[kind] / (1 - weights.least[kind]))
    order = [at for at in np.argsort(-score, kind="stable") if score[at] >= least]
    return tuple(names[at] for at in order[:_MOST])


def _structure(mol: Any) -> tuple[dict[str, int], int, int]:
    """Heavy atoms by element, charge, and number of stereocentres of a molecule; nothing of one that is unknown."""
    if mol is None:
        return {}, 0, 0
    atoms = Counter(atom.GetSymbol() for atom in mol.GetAtoms())
    del atoms["H"]
    centres = sum(atom.GetChiralTag() != 0 for atom in mol.GetAtoms())
    return atoms, sum(atom.GetFormalCharge() for atom in mol.GetAtoms()), centres


NAME_COLUMN = "name"
# How definitions name what a molecule derives from.
_PARENT = (
    re.compile(r"that is (?:the )?([^,;]+?) (?:in which|substituted|bearing|carrying|having|with|where|which)\b"),
    re.compile(r"derived from ([^,;]+?)(?:,|;|\.$| in which| by| having)"),
    re.compile(r"carboxy(?:lic acid)? (?:groups?|functions?) of ([^,;]+?)(?: with| and|,|;|\.| has| is| are)"),
    re.compile(r"derivative of ([^,;]+?)(?:,|;|\.$| in which| having| that| with)"),
    re.compile(r"hydroxy groups? of ([^,;]+?)(?: with| and|,|;|\.| has| is)"),
)
_ARTICLE = re.compile(r"^(?:an?|the) ")


class CaptionComposer:
    """Writes captions of molecules from those of known ones.

    `texts` are the captions of the reference, `molecules` its rdkit molecules, None for those that cannot be read, and
    `names` theirs; without any, nothing is said of relatives. How definition, roles and classes are chosen say its
    `weights`, which are those shipped until others are set.
    """

    def __init__(self, texts: Sequence[str], molecules: Sequence[Any], names: Sequence[str]) -> None:
        self._texts, self._molecules = texts, molecules
        self.weights = ChoiceWeights.shipped()
        self._named = NamedMolecules(molecules, names)
        self._captions: dict[int, Caption] = {}
        self._relatives: dict[int, Relatives] = {}

    def compose(
        self, mol: Any, rows: NDArray[np.integer], similarity: NDArray[np.floating], own: Relatives | None = None
    ) -> tuple[str, int]:
        """Write a caption; return it, and the place among `rows` of the neighbour whose definition it has.

        `rows` and `similarity`, (k,), are the molecule's neighbours in the reference, the nearest first; of a molecule
        None it is the nearest one's text as it is. `own` relatives are found if not given.

        In each neighbour's definition, what the neighbour is made of is replaced by what this molecule is made of. One
        of these is chosen by how it agrees with the others, how like the structures are, and whether it names what this
        molecule is made of; by weights that were trained for the least expected loss (minimum risk, Och 2003,
        doi:10.3115/1075096.1075117). Roles and classes are the likelier ones. What it is the conjugate acid or
        base, the enantiomer or the tautomer of is found by structure among the named molecules.
        """
        if mol is None:
            return self._texts[rows[0]], 0
        own = own or self.relatives(mol)
        definition, at = self.definition(mol, own, rows, similarity)
        return self.around(definition, at, own, rows, similarity), at

    def around(
        self, definition: str, at: int, own: Relatives, rows: NDArray[np.integer], similarity: NDArray[np.floating]
    ) -> str:
        """Write the caption that has a definition, that of the neighbour at the place `at` or one like it."""
        captions = list(map(self.caption, rows))
        roles, classes = (
            likely_items(self.weights, kind, [getattr(one, kind) for one in captions], similarity, definition)
            for kind in ("roles", "classes")
        )
        made = replace(
            captions[at], definition=definition, roles=roles, classes=classes, related=related_sentences(own)
        )
        return replace(made, derives=derives_sentences(made, own)).text()

    def definition(
        self, mol: Any, own: Relatives, rows: NDArray[np.integer], similarity: NDArray[np.floating]
    ) -> tuple[str, int]:
        """Choose a definition; returns it and the place among `rows` of the neighbour whose it is."""
        edited, features = self.candidates(mol, own, rows, similarity)
        at = int((features @ np.array(self.weights.definition)).argmax())
        return edited[at], at

    def candidates(
        self, mol: Any, own: Relatives, rows: NDArray[np.integer], similarity: NDArray[np.floating]
    ) -> tuple[list[str], NDArray[np.float64]]:
        """Definitions that a molecule may have, one a neighbour, and their features; see :meth:`compose`."""
        plain = [self.caption(row).definition for row in rows]
        edited = [adapted(one, own, self._relative(row)) for one, row in zip(plain, rows, strict=True)]
        changed = [one != other for one, other in zip(plain, edited, strict=True)]
        known = [self._molecules[row] for row in rows]
        return edited, definition_features(edited, changed, similarity, own, mol, known)

    def relatives(self, mol: Any) -> Relatives:
        """Find the relatives of a molecule among those of the reference."""
        return self._named.of(mol)

    def caption(self, row: int) -> Caption:
        """Read the caption of a molecule of the reference."""
        if row not in self._captions:
            self._captions[row] = read_caption(self._texts[row])
        return self._captions[row]

    def _relative(self, row: int) -> Relatives:
        if row not in self._relatives:
            mol = self._molecules[row]
            self._relatives[row] = Relatives() if mol is None else self._named.of(mol)
        return self._relatives[row]


def related_sentences(own: Relatives) -> tuple[str, ...]:
    """Say what a molecule is the conjugate acid or base, the enantiomer or the tautomer of."""
    return tuple(
        f"It is {with_article(kind)} of {with_article(own.ions[kind])}."
        for kind in (ACID, BASE, MIRROR, TAUTOMER)
        if kind in own.ions
    )


def derives_sentences(caption: Caption, own: Relatives) -> tuple[str, ...]:
    """Say what a molecule derives from: parts or parents that the definition names, what it calls so, or as it was."""
    said = caption.definition.lower()
    names = [one for one in dict.fromkeys(own.telling().values()) if len(one) >= _SHORTEST_NAME and one.lower() in said]
    names = [one for one in names if not any(one != other and one.lower() in other.lower() for other in names)][:2]
    if not names:
        found = next((match for match in (one.search(caption.definition) for one in _PARENT) if match), None)
        if found is None:
            return caption.derives
        names = [_ARTICLE.sub("", found[1])]
    return (f"It derives from {' and '.join(map(with_article, names))}.",)


def adapted(definition: str, own: Relatives, theirs: Relatives) -> str:
    """Put the names of a molecule's relatives in place of those of a neighbour's, in the definition of this."""
    said, change = definition.lower(), {}
    for kind, name in theirs.ions.items():
        if kind in own.ions:
            change[name] = own.ions[kind]
    mine = {smiles: name for smiles, name in own.telling().items() if smiles not in theirs.parts}
    parts = {smiles: name for smiles, name in mine.items() if smiles in own.parts}
    parents = [name for smiles, name in mine.items() if smiles in own.parents]
    for smiles, name in theirs.telling().items():
        if name.lower() not in said or smiles in own.parts or smiles in own.parents:
            continue
        if smiles in theirs.parts and parts:
            # The part of the like size takes its place.
            change.setdefault(name, parts[min(parts, key=lambda one: (abs(len(one) - len(smiles)), one))])
        elif smiles in theirs.parents and parents:
            change.setdefault(name, parents[0])
    wanted = sorted((one for one in change if len(one) >= _SHORTEST_NAME), key=len, reverse=True)
    if not wanted:
        return definition
    pattern = re.compile("|".join(map(re.escape, wanted)), re.IGNORECASE)
    new = {old.lower(): name for old, name in change.items()}
    return pattern.sub(lambda match: new[match[0].lower()], definition)


def is_caption(text: str) -> bool:
    """Whether a text is a caption in ChEBI's style."""
    return text.startswith("The molecule is ")


def are_captions(near: Neighbours, texts: Sequence[str]) -> bool:
    """Whether the texts of neighbours are captions in ChEBI's style, by one of them."""
    row = int(near.rows.max(initial=-1))
    return row >= 0 and is_caption(texts[row])


def compose_for(
    adata: AnnData, reference: AnnData, near: Neighbours, texts: Sequence[str], column: str, *, named: bool = False
) -> tuple[list[str], NDArray[np.int64]]:
    """Write a caption of every row of a table, see :func:`composed`; names stand in `reference.obs["name"]`."""
    parsed = [one.mol for one in parse_smiles(map(cell_text, adata.obs[column]))]
    names = [""] * len(texts)
    if NAME_COLUMN in reference.obs:
        names = list(map(cell_text, reference.obs[NAME_COLUMN]))
    composer = _composer(tuple(texts), known_molecules(reference, column), tuple(names))
    return composed(composer, near, parsed, named=named)


# Of the last reference: to find all forms of its molecules takes longer than to write of a hundred.
_composer = lru_cache(maxsize=1)(CaptionComposer)


def composed(
    composer: CaptionComposer, near: Neighbours, molecules: Sequence[Any], *, named: bool = False
) -> tuple[list[str], NDArray[np.int64]]:
    """Write a caption of every row that has neighbours.

    `molecules` are the rows' of rdkit; the `composer` knows the reference. With `named`, the names of all relatives
    stand behind each caption, whether it says them or not: words to compare with texts. Returns the texts, `""` for
    rows without neighbours, and for each the place among its neighbours of the one followed most.
    """
    said, place = [""] * len(near.rows), np.zeros(len(near.rows), dtype=np.int64)
    pairs = zip(near.rows, near.similarity, strict=True)
    bar = tqdm(pairs, total=len(said), desc="describe", unit="molecule", disable=not settings.progress)
    for row, (others, similarity) in enumerate(bar):
        if others[0] < 0:
            continue
        mol = molecules[row]
        own = Relatives() if mol is None else composer.relatives(mol)
        said[row], place[row] = composer.compose(mol, others, similarity, own)
        if named:
            said[row] = " ".join([said[row], *dict.fromkeys([*own.ions.values(), *own.telling().values()])])
    return said, place
