"""Free text about a group of cells against the data: which of its claims hold.

The few kinds of sentences that are read with certainty are read, and nothing else. A sentence is read as a whole or not
at all. Genes in it are replaced by one sign, names of the cells by another, and what is left must be one of the forms
below, word for word. Whatever makes a sentence say something else (a negation, a comparison, a quantifier, a hedge,
other cells) leaves a word that no form has; its claims are then not checked. A reader that guesses at such sentences
calls false ones supported, and nobody would see it. "They" may be others once something else was spoken of, and a line
that breaks off may deny what follows it: both are not read either.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from .._logging import shown_name, warn
from ..errors import InputError, MissingKeyError, check_columns
from ..io import Cells
from ..knowledge.names.resolver import resolve_label
from ..knowledge.ontology import fold, load_ontology
from ..knowledge.sentences import split_sentences
from .expression import MeasuredCells
from .gene_mentions import Mention, gene_mentions, gene_of, name_spans
from .support import EVIDENCE, CheckedClaim, Claim, Direction, judge

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray


def check(
    adata: AnnData,
    text: str,
    *,
    groupby: str,
    group: str,
    label: str | None = None,
    layer: str | None = None,
    key: str | None = None,
) -> pd.DataFrame:
    """Check what a text says about the genes of a group of cells: a published rationale, another model's answer.

    Few kinds of sentences are read, as a whole and with certainty: "CD79A and MS4A1 mark these cells", "They express
    CD79A (94 % of these cells, 5 % of others) and lack CD3D", "LYZ is not expressed", "Rather than DC: LYZ in 9 % of
    these cells, 80 % of those", which compares with the group of that name. Every gene in any other sentence
    ("CD3D is virtually undetectable", "CD3D is restricted to other cells", "most of them express CD3D") comes back as
    `"not checked"`, whatever the data say, as does one that may speak of other cells. Only what is higher than in
    the others is a reason: "CD3D is expressed" is contradicted where the others express it as much.

    Parameters
    ----------
    adata
        Counts or log-normalised values; not changed. Of a MuData the part that holds genes.
    text
        Sentences in English.
    groupby
        Column of `obs`.
    group
        Which of its groups the text is about; it is compared with all others. Cells without a group are left out.
    label
        What the text calls these cells, where that is not the group's name.
    layer, key
        Where expression and gene names are, as for :func:`scbioverse.tl.annotate`.

    Returns
    -------
    One row a gene that the text names, in its order: `said` (as written), `gene` (approved symbol that decided),
    `direction` (`"high"`, `"low"`, `"absent"`, or `""` where the sentence was not understood), `verdict`
    (`"supported"`, `"contradicted"`, `"not measured"` or `"not checked"`), `sentence` (the whole of it), `fraction_in`,
    `fraction_out` (cells that express it), `log_fold_change` (log2 of mean expression per 10,000; of logarithms whose
    cells have no equal sums, as of a part of the genes, per what they were normalised to), `p` (one-sided Mann-Whitney
    in that direction, NaN with fewer than ten cells on either side, where the size of the difference decides), `n_in`,
    `n_out` (cells).

    Raises
    ------
    MissingKeyError
        There is no such column, group, layer or key.
    InputError
        The matrix cannot be read as counts or log values, this is no AnnData, or `text` is no string.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> text = "CD79A and MS4A1 mark these cells. CD3D is virtually undetectable."
    >>> sb.explain.check(adata, text, groupby="cell_type", group="B")[["gene", "direction", "verdict"]]
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a string of sentences, found {type(text).__name__}.")
    data = Cells.of(adata, layer, key)
    obs = data.adata.obs
    check_columns(obs, [groupby], "Name the column of groups with groupby=.")
    column = obs[groupby].astype("category")
    names = list(map(str, column.cat.categories))
    if str(group) not in names:
        raise MissingKeyError(f"adata.obs[{groupby!r}] has no group {group!r}; there are {names}.")
    codes = column.cat.codes.to_numpy().astype(int)
    inside = codes == names.index(str(group))
    if not inside.any():
        raise InputError(f"group {group!r} of adata.obs[{groupby!r}] has no cells.")
    # Fair shares of a large data set: the group that the text is about may be a small one.
    cells = MeasuredCells(data, codes=codes)
    if data.unlisted:
        warn("rows are lists of genes: a gene that no list of the group holds is called absent, but may be expressed.")
    # Clusters are called by numbers, which no text does: what they are called in it is for the caller to say.
    own = [one for one in (label, str(group)) if one]
    others = {name: codes == i for i, name in enumerate(names) if name != str(group)}
    claims = check_text(text, cells, inside, outside=(codes >= 0) & ~inside, own=own, others=others)
    sentences = split_sentences(text)
    rows = [one.row("") | {"sentence": sentences[one.claim.sentence]} for one in claims]
    return pd.DataFrame(rows, columns=["said", "gene", "direction", "verdict", "sentence", *EVIDENCE[3:9]])


def check_text(
    text: str,
    cells: MeasuredCells,
    inside: NDArray[np.bool_],
    *,
    outside: NDArray[np.bool_] | None = None,
    own: Sequence[str] = (),
    others: Mapping[str, NDArray[np.bool_]] | None = None,
) -> list[CheckedClaim]:
    """Test every claim about a gene in a text, in its order.

    `inside` and `outside`, bool (n_obs,), are the cells that the text is about, called by the names `own`, and those to
    compare them with (all others if None). `others` says what other cells are called, and which they are: a text may
    compare with them.
    """
    named = {shown_name(name): rows for name, rows in (others or {}).items()}
    claims = read_claims(text, own=own, names=list(others or ()), against=named)
    measured = {}
    for against in dict.fromkeys(claim.against for claim in claims):
        # All genes at once: ranking is by far the largest part of a test.
        genes = [gene for claim in claims if claim.against == against for gene in claim.genes]
        measured[against] = cells.measure(inside, genes, named.get(against, outside))
    judged = [(claim, *judge(claim, measured[claim.against])) for claim in claims]
    return [CheckedClaim(claim, gene, verdict, measured[claim.against].get(gene)) for claim, verdict, gene in judged]


# Signs of the private use area, which no text of words holds: a gene, one with a sign of its own ("CD3+"), the cells'
# own name, and the name of a broader type.
GENE, SIGNED, OWN, BROADER = "\ue000", "\ue001", "\ue002", "\ue003"
_FIGURES = re.compile(
    r" ?\( ?(?:in )?(?:(\d+(?:\.\d+)?)|<(1)|>(99)) ?%(?: of (?:these|the) cells)?"
    r"(?:[,;] (?:(\d+(?:\.\d+)?)|<(1)|>(99)) ?%(?: of (?:the )?others?)?)? ?\)"
)

# The one comparison with other cells than all others that is read; our own reasons end with it.
_PERCENT = r"(?:(\d+(?:\.\d+)?)|<(1)|>(99)) ?%"
_RATHER = re.compile(rf"Rather than (.+): (\S+) in {_PERCENT} of these cells, {_PERCENT} of those\.")

_LIST = f"(?:both )?{GENE}(?:(?:, and |, | and |/| & | plus | as well as ){GENE})*"
# "Or" says which of them only where none is expressed.
_NONE = f"(?:either )?{GENE}(?:(?:, and |, or |, nor |, | and | or | nor |/| & ){GENE})*"
_OWN = f"(?:the )?{OWN}(?:s| cells?)?"
_CELLS = f"(?:these cells|the cells|they|it|(?:this|the) (?:group|cluster|population)|(?:these |the )?{_OWN})"
_THEM = f"(?:these cells|the cells|them|it|(?:this|the) (?:group|cluster|population)|{_OWN}|the broader type {BROADER})"
_HERE = f"(?: (?:in|on) {_THEM}| here)?"
_THING = r"(?: (?:gene|expression|transcripts?|m?rna|levels?)){0,2}"
_WELL = "(?:(?:strongly|highly|clearly|robustly|specifically|uniformly|consistently|abundantly|all|both|also) )*"
_IS = "(?:is|are|was|were)"
_RAISED = "(?:expressed|high|elevated|enriched|up-?regulated|detected|present|abundant|positive)"
_MARKS = "(?:marks?|defines?|identif(?:y|ies)|characteri[sz]es?|supports?)"
_SHOWS = "(?:shows?|has|have|exhibits?|displays?)"
_MUCH = "(?:high|strong|elevated|robust)"
_LITTLE = "(?:low|reduced|decreased)"
_WITH = "(?:positive for|high in|high for|rich in|enriched (?:in|for)|(?:marked|characteri[sz]ed|defined) by)"
# One line a form: what it says of every gene in it.
FORMS: list[tuple[Direction, str]] = [
    ("high", f"(?:the )?(?:{_MUCH} )?(?:expression of )?{_LIST}{_THING} {_WELL}{_MARKS} {_THEM}"),
    ("high", f"{_LIST} {_WELL}sets? {_THEM} apart"),
    ("high", f"{_LIST} {_IS} (?:a |the |known )*(?:marker|markers|marker genes) (?:of|for) {_THEM}"),
    ("high", f"{_LIST}{_THING} {_IS} {_WELL}{_RAISED}{_HERE}"),
    ("high", f"{_MUCH} (?:expression|levels) of {_LIST} {_IS} (?:seen|found|observed){_HERE}"),
    ("high", f"{_CELLS} {_WELL}(?:co-?)?express(?:es)? {_WELL}{_LIST}(?:, which {_MARKS} {_THEM})?"),
    ("high", f"{_CELLS} {_SHOWS} {_MUCH} (?:expression|levels) of {_LIST}"),
    ("high", f"{_CELLS} {_IS} {_WELL}{_WITH} {_LIST}"),
    # Each gene carries a sign of its own ("CD3+"), which counts in place of "high".
    ("high", f"{_CELLS} {_IS} {SIGNED}(?:(?:, and |, | and |/| |-)?{SIGNED})*(?: cells)?"),
    ("low", f"{_LIST}{_THING} {_IS} (?:low|reduced|decreased|down-?regulated|depleted){_HERE}"),
    ("low", f"{_CELLS} {_SHOWS} {_LITTLE} (?:expression|levels) of {_LIST}"),
    ("low", f"{_CELLS} {_IS} low (?:in|for) {_LIST}"),
    ("absent", f"{_LIST}{_THING} {_IS} (?:not (?:expressed|detected|present)|absent|undetected|undetectable){_HERE}"),
    ("absent", f"neither {GENE} nor {GENE} {_IS} (?:expressed|detected|present){_HERE}"),
    ("absent", f"{_CELLS} (?:lacks?|(?:do|does) not express|(?:don't|doesn't) express|{_IS} negative for) {_NONE}"),
    ("absent", f"{_CELLS} {_SHOWS} no (?:detectable )?expression of {_NONE}"),
]
_FORMS = [(direction, re.compile(form)) for direction, form in FORMS]
_BY_CELLS = re.compile(_CELLS)
_TYPE = re.compile(r"the broader type ([^;.,]+)")
_LINK = re.compile(r"; |, (?:and|but|whereas|while) | (?:and|but|whereas|while) ")
_NAMED = f"(?:{_CELLS}|these|this) {_IS} (?:labelled |called |annotated as )?(?:an? )?{_OWN}"
_IDENTITY = re.compile(_NAMED)
_OPENING = re.compile(
    r"(?:(?:moreover|furthermore|in addition|additionally|also|notably|indeed|as expected|here),? )?"
    f"(?:{_NAMED} (?:because|since|as) )?"
)
_PRONOUN = re.compile(r"\b(?:they|it|them|the (?:cells|group|cluster|population))\b")
_NO_SIGNS = dict.fromkeys(map(ord, (GENE, SIGNED, OWN, BROADER)), " ")
# Longer sentences are no plain ones.
_LONGEST = 600
# A name that is resolved with less trust may be another type.
_SURE = 0.8


def read_claims(
    text: str, *, own: Sequence[str] = (), names: Iterable[str] = (), against: Collection[str] = ()
) -> list[Claim]:
    """Read every claim about a gene out of a text about some cells, in its order.

    `own` is what the cells are called: "CD3D marks T cells" is a claim about them only if that is what they are.
    `names` are further labels of the data, in which a gene's name is no claim; `against` those of cells that a claim
    may compare these with. `direction` is None for every gene in a sentence that is none of the forms.
    """
    hidden = [*own, *names]
    claims: list[Claim] = []
    alone, broken = True, False
    for number, sentence in enumerate(split_sentences(text.translate(_NO_SIGNS))):
        if (compared := _compared(sentence, number)) is not None:
            known = compared.against in against and not broken
            claims.append(compared if known else replace(compared, direction=None))
            alone = False
            continue
        mentions, plain, figures, directions = _read(sentence, own, hidden)
        if broken or (_PRONOUN.search(plain) and not alone):
            directions = []
        claims += [
            Claim(one.said, one.genes, direction and (one.sign or direction), number, *stated)
            for one, direction, stated in zip(mentions, directions or [None] * len(mentions), figures, strict=True)
        ]
        # "They" are these cells as long as nothing else was spoken of.
        alone = alone and bool(directions or _IDENTITY.fullmatch(plain))
        # What follows a line without an end may be its rest: "There is no evidence that / CD3D marks these cells".
        broken = broken or sentence.rstrip("\"')]")[-1:] not in (".", "!", "?")
    return claims


def _compared(sentence: str, number: int) -> Claim | None:
    """Read a comparison with other named cells, None where it is none."""
    match = _RATHER.fullmatch(sentence)
    if match is None:
        return None
    name, gene, *shares = match.groups()
    inside, outside = (float(one) for one in shares if one)
    return Claim(gene, gene_of(gene)[0], "high" if inside > outside else "low", number, inside, outside, name)


Figures = list[tuple[float | None, float | None]]


def _read(
    sentence: str, own: Sequence[str], hidden: Sequence[str]
) -> tuple[list[Mention], str, Figures, Sequence[Direction | None]]:
    """Genes of a sentence, the sentence with signs, figures behind the genes, and directions if it is understood."""
    every = gene_mentions(sentence, names=hidden)
    # "WAS" and "CAT" are genes where the whole sentence is understood so, and words else.
    for mentions in (every, [one for one in every if one.sure]):
        plain, figures = _plain(sentence, mentions, own, hidden)
        directions = _directions(_OPENING.sub("", plain, count=1)) if mentions and len(plain) <= _LONGEST else None
        if directions:
            break
    return mentions, plain, figures, directions or []


def _plain(
    sentence: str, mentions: Sequence[Mention], own: Sequence[str], hidden: Sequence[str]
) -> tuple[str, Figures]:
    """Put signs in place of genes and names, in lower case, and take out the figures behind each gene."""
    signs = {(one.start, one.end): SIGNED if one.sign else GENE for one in mentions}
    spans = [*name_spans(sentence, hidden), *(one.span(1) for one in _TYPE.finditer(sentence))]
    for span in sorted(spans, key=lambda one: one[0] - one[1]):
        free = all(span[1] <= start or end <= span[0] for start, end in signs)
        said = sentence[slice(*span)]
        if free and (sign := next((found for name in own if (found := _relation(said, name))), "")):
            signs[span] = sign
    plain, at = "", 0
    for (start, end), sign in sorted(signs.items()):
        plain += sentence[at:start].lower() + sign
        at = end
    plain = " ".join((plain + sentence[at:].lower()).split()).rstrip(".!")
    genes = re.compile(f"[{GENE}{SIGNED}](?:{_FIGURES.pattern})?")
    stated = [[float(number) for number in match.groups() if number] for match in genes.finditer(plain)]
    figures = [(*some, *(None,) * (2 - len(some))) for some in stated]
    # Figures anywhere else ("CD79A is expressed (10 %)") stay, and no form has them: they would not be compared.
    return genes.sub(lambda match: match[0][0], plain), figures  # type: ignore[return-value]


@lru_cache(maxsize=4096)
def _relation(said: str, label: str) -> str:
    """Sign for a name in a text about cells with a label: their own, a broader type's, or none."""
    if fold(said) == fold(label):
        return OWN
    one, other = resolve_label(said), resolve_label(label)
    if one.cl_id is None or other.cl_id is None or min(one.score, other.score) < _SURE:
        return ""
    if one.cl_id == other.cl_id:
        return OWN
    return BROADER if load_ontology().is_ancestor(one.cl_id, other.cl_id) else ""


def _directions(plain: str) -> list[Direction] | None:
    """Say what a sentence claims of each of its genes, None where it is not understood to its end."""
    found: list[Direction] = []
    subject = ""
    while plain:
        # As much as one form can hold: "and" may go on with a list or begin another clause.
        ends = [(len(plain), len(plain)), *((one.start(), one.end()) for one in reversed([*_LINK.finditer(plain)]))]
        clause = next(((d, end, after) for end, after in ends if (d := _form(plain[:end], subject))), None)
        if clause is None:
            return None
        direction, end, after = clause
        subject = "they " if _BY_CELLS.match(subject + plain[:end]) else ""
        found += [direction] * len(re.findall(f"[{GENE}{SIGNED}]", plain[:end]))
        plain = plain[after:]
    return found


def _form(clause: str, subject: str) -> Direction | None:
    """Direction of a clause, alone or as the next thing said of the cells: "They express CD3D and *lack LYZ*"."""
    said = (clause, subject + clause)
    return next((direction for direction, form in _FORMS for one in said if form.fullmatch(one)), None)
