"""In which direction a sentence speaks of each gene: signs, negation, lists, levels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .gene_mentions import Direction, Mention

_GENE = r"⟦\d+⟧(?:\s*\([^()]*\))?"
_AND = r"(?:,\s*(?:and\s+|or\s+)?|/|&\s*|\band\b|\bor\b|\bnor\b|\bplus\b|\bas well as\b)"
_LIST = rf"{_GENE}(?:\s*{_AND}\s*(?:also\s+)?{_GENE})*"
_THING = r"(?:\s+(?:genes?|expression|transcripts?|levels?|m?rna|proteins?|markers?))*"
_ADVERB = r"(?:(?:very|more|most|quite|rather|only|also|both|all|clearly|highly|strongly|uniformly|largely|almost|nearly|mostly|relatively|significantly|markedly|broadly|widely|robustly|consistently|specifically|comparatively|much|even)\s+)*"  # noqa: E501
_FEW = r"(?:weakly|barely|hardly|scarcely|rarely|poorly|lowly|faintly|seldom|little)"
_HIGH = r"(?:express\w*|detect(?:ed|able)|present|found|seen|high(?:er|ly)?|elevated|enriched|up-?regulated|abundant\w*|strong\w*|increased|positive|on|over-?expressed|robust)"  # noqa: E501
_LOW = rf"(?:low(?:er)?|reduced|decreased|weak(?:er)?|dim|poor|down-?regulated|depleted|under-?expressed|diminished|scarce|rare|minimal|{_FEW}(?:\s+(?:expressed|detected|detectable|present|found|seen))?)"  # noqa: E501
_ABSENT = r"(?:absent|missing|undetect(?:ed|able)|lost|negative|silent|off|lacking|unexpressed|nowhere)"
_BE = r"(?:is|are|was|were|be|been|being|remains?|appears?|seems?|shows?|stays?)"
_NOT = r"(?:not|never|no longer|neither|n[o']t)"
# "CD3D and CD3E are not expressed", "LYZ expression is low".
_AFTER_BE = re.compile(
    rf"(?P<list>{_LIST}){_THING}\s+(?:(?:do|does|did)\s+)?{_BE}\s+{_ADVERB}(?P<not>{_NOT}\s+)?{_ADVERB}"
    rf"(?:(?P<low>{_LOW})|(?P<absent>{_ABSENT})|(?P<high>{_HIGH}))\b(?:\s+(?:at|to)\s+(?P<level>low|high)\b)?"
)
# "CD3D low", "MS4A1 at high levels", "LYZ (90 %) weakly".
_BESIDE = re.compile(
    rf"(?P<list>{_GENE}){_THING}\s+(?:at\s+|to\s+)?(?:a\s+)?{_ADVERB}"
    rf"(?:(?P<low>low(?:er)?|dim|reduced|weak(?:ly)?|{_FEW})|(?P<absent>negative|absent|undetectable)"
    r"|(?P<high>high(?:er)?|bright|elevated|positive|strongly))"
    r"\b(?!\s+(?:(?:levels?|expression|amounts?)\s+)?(?:of|for|in)?\s*⟦)(?!\s+\w*express)"
)
# "CD3D marks B cells", "CD3D does not mark B cells".
_MARKS = re.compile(
    rf"(?P<list>{_LIST}){_THING}\s+(?P<not>(?:do|does|did)\s+(?:not|n't)\s+|(?:don't|doesn't|cannot)\s+)?"
    r"(?P<high>marks?|define?s?|support?s?|indicate?s?|characteri[sz]es?|point|points|suggests?|sets?|identif(?:y|ies)|dominates?)\b"
)
_FORWARD = re.compile(
    rf"(?P<none>\bnot only\b|\bcompared (?:with|to)\b|\brelative to\b)"
    rf"|(?P<low>\bnot\s+{_ADVERB}(?:highly|strongly|high)\b(?:\s+express\w*)?|\b(?:less|little|lower|low|reduced|decreased"
    rf"|weak(?:er|ly)?|dim|poor|down-?regulat\w+|deplet\w+|under-?express\w*|diminish\w*|minimal|scarce\w*|rather than"
    rf"|instead of|unlike|{_FEW})\b(?:\s+(?:express\w*|levels?|amounts?))*(?:\s+(?:of|for|in))?)"
    rf"|(?P<absent>\black(?:s|ing|ed)?\b(?:\s+(?:of|any))*(?:\s+expression(?:\s+of)?)?|\bwithout\b(?:\s+any)?"
    rf"(?:\s+(?:expression|detectable)\s*(?:of)?)?|\bneither\b|\bnor\b|\bnegative for\b|\babsence of\b|\bdevoid of\b"
    rf"|\bfree of\b|\bloss of\b|\blos(?:e|es|t|ing)\b|\bmiss(?:es|ing)\b|\bfail\w*\s+to\s+\w+|\bexcept(?: for)?\b"
    rf"|\bexclud(?:e|es|ing)\b|\b(?:do|does|did|is|are|was|were|can)?\s*(?:not|n't|cannot|never|no longer)\b"
    rf"(?:\s+\w+){{0,2}}?\s+(?:express\w*|detect\w*|transcrib\w*|show\w*|have|carry|contain|produce)\b"
    rf"|\b(?:don't|doesn't|didn't|isn't|aren't)\b(?:\s+\w+)?\s+express\w*|\bnot\b|\bno\b|\babsent\b|\bnever\b)"
    rf"|(?P<strong>\b(?:high(?:er|ly)?|elevated|strong\w*|enrich\w*|up-?regulat\w*|abundant\w*|increased|rich"
    rf"|over-?express\w*|robust\w*|more|most)\b(?:\s+(?:express\w*|levels?|amounts?))*(?:\s+(?:of|for|in))?)"
    rf"|(?P<high>\b(?:express\w*|positive(?:\s+for)?|marked by|markers?|transcrib\w*|show\w*|carr(?:y|ies)|produces?"
    r"|with)\b)"
)
_ONE = re.compile(r"and\s+⟦\d+⟧(?:\s*\([^()]*\))?\s+(?:is|was)\b")
_CLAUSE = re.compile(
    r";|:|—|\bbut\b|\bwhereas\b|\bwhile\b|\balthough\b|\bthough\b|\bhowever\b|\byet\b|\bin contrast\b|‡"
    # A new subject: "lacks CD3D, and the cells ..."; a bare comma goes on with the list.
    r"|,\s+(?:and\s+)?(?=(?:the|these|they|it|which|this|those)\b)"
)


def _simplified(sentence: str, mentions: list[Mention]) -> str:
    """Lower-case the sentence, with genes as ⟦0⟧, ⟦1⟧."""
    parts, at = [], 0
    for k, mention in enumerate(mentions):
        parts += [sentence[at : mention.start].lower(), f"⟦{k}⟧"]
        at = mention.end
    return "".join([*parts, sentence[at:].lower()])


def directions_of(sentence: str, mentions: list[Mention]) -> list[Direction]:
    """Return what a sentence says of each gene in it: high, low or absent.

    A sign of the gene's own counts first, then a predicate behind it ("is not expressed"), then the nearest word of
    direction before it in its clause ("lacking", "high levels of"); with none of them it is high.

    Parameters
    ----------
    sentence
        One sentence.
    mentions
        Its genes, in order.
    """
    plain = _simplified(sentence, mentions)
    settled: dict[int, Direction] = {k: one.sign for k, one in enumerate(mentions) if one.sign}
    weak = _by_forward(plain, len(mentions))
    for pattern in (_AFTER_BE, _MARKS, _BESIDE):
        for match in pattern.finditer(plain):
            direction = _of(match)
            numbers = [int(number) for number in re.findall(r"⟦(\d+)⟧", match["list"])]
            # "They lack CD3D and CD14 is high": the singular verb has one subject, whatever stands before it.
            own = pattern is _BESIDE or (len(numbers) > 1 and bool(_ONE.search(match[0])))
            for k in numbers[-1:] if own else numbers:
                # "Cells that lack CD3D are high in LYZ": a gene that is spoken for is not the subject.
                if k not in settled and (own or not weak[k][1]):
                    settled[k] = direction
    return [settled.get(k, weak[k][0]) for k in range(len(mentions))]


def _of(match: re.Match[str]) -> Direction:
    groups = match.groupdict()
    found: Direction = "high" if groups.get("high") else "low" if groups.get("low") else "absent"
    if groups.get("level"):
        found = "low" if groups["level"] == "low" else "high"
    if not groups.get("not"):
        return found
    if found == "high":
        said = (groups.get("high") or "").strip()
        # "is not high" and "does not mark" say less than "is not expressed".
        return "absent" if re.match(r"express|detect|present|found|seen|on|positive", said) else "low"
    return "high"


def _by_forward(plain: str, n: int) -> list[tuple[Direction, bool]]:
    """Direction of each gene by the nearest word before it in its clause, and whether that word is a strong one."""
    # A predicate behind a list ("⟦0⟧ is low and") says nothing about what follows it.
    masked = plain
    for pattern in (_AFTER_BE, _MARKS):
        for match in pattern.finditer(masked):
            start = match.start() + len(match["list"])
            tail = masked[start : match.end()]
            if not re.search(r"⟦", tail):
                masked = masked[:start] + "‡" + " " * (len(tail) - 1) + masked[match.end() :]
    bounds = [one.end() for one in _CLAUSE.finditer(masked)]
    cues = list(_FORWARD.finditer(masked))
    out: list[tuple[Direction, bool]] = []
    for k in range(n):
        place = masked.index(f"⟦{k}⟧")
        begin = max((b for b in bounds if b <= place), default=0)
        before = [cue for cue in cues if begin <= cue.start() and cue.end() <= place]
        out.append(_cue_direction(masked, before, place))
    return out


def _cue_direction(masked: str, cues: list[re.Match[str]], place: int) -> tuple[Direction, bool]:
    for cue in reversed(cues):
        kind = cue.lastgroup
        if kind == "none":
            return "high", False
        # "no", "not" and "never" bind what follows at once, not a gene behind another verb.
        if cue[0] in ("no", "not", "never", "absent") and not re.fullmatch(
            rf"\s*(?:\w+\s+){{0,3}}(?:{_LIST})?[\s,]*(?:and|or|nor|/|&|,|both|either|\s)*(?:\w+\s+){{0,1}}",
            masked[cue.end() : place],
        ):
            continue
        if kind == "strong":
            return "high", True
        if kind == "high":
            return "high", False
        return ("low" if kind == "low" else "absent"), True
    return "high", False
