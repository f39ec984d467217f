"""The closed words of questions, and what each does: one line a role, `value: phrase | phrase` behind it.

A phrase is matched word by word, longest first, in singular or plural. Words that only fill a sentence have the role
`-`. What is in none of these lines, nor a name of the data, is a word that an answer must account for.
"""

from __future__ import annotations

import re
from functools import cache

_LINES = """
COUNT: size of | size | quantity of | cell count | head count
COUNT: how many | number of | the number | count of | count | counts of | how big is | how large is | amount of
SHARE: portion | fraction | percentage | percent | proportion | share | what part | fraction of all | frequency | abundance
SHARE: how much of | how many percent | how many per cent | how large a share | how large a fraction | what percent
SHARE: relative abundance | how large a proportion | how big a share | how common | how frequent | how abundant | how rare
STAT mean: mean | average | on average | averaged
STAT median: median
STAT min: minimum | minimal | min
STAT max: maximum | maximal | max
STAT sum: total | sum | summed
TOP most: most | highest | largest | biggest | greatest | top | strongest | majority
TOP least: fewest | lowest | smallest | least | weakest
SIZETOP most: commonest | dominant | predominant | prevailing | main | major
SIZETOP least: rarest
OFTEN: often | frequently | commonly | widely | strongly | highly | common | abundant | frequent | numerous | prevalent | populous
OFTEN: populated | plentiful
TOPM most n_genes: most complex
ORD 1: first | 1st
ORD 2: second | 2nd
ORD 3: third | 3rd
ORD 4: fourth | 4th
ORD 5: fifth | 5th
WHICH: which | whose
WHAT: what | what's
LIST: rank | sort | order | arrange | list | list all | show all | name | show | give | show me | give me | tell me | report | display | enumerate | find | identify | get
COMPARE: compare | comparison of | comparison | contrast
VERSUS: versus | vs | compared to | compared with | relative to | against
FOLD: fold change | fold difference | fold increase
RATIO: ratio | numerical ratio | ratio of the number of | ratio of number of
DIFF: difference | differ | different | differs | differing | change
HAVE: express | expresses | have | has | contain | contains | possess | include | includes | show expression of | bear | bears
HAVE: co express | co expresses | coexpress | coexpresses | hold | holds | carry | carries | comprise | comprises | positive for | harbour | harbor
HAVE: detect | detects | shows | contribute | contributes | contributed | provide | provides | had | contained | expressed by
HAVING: expressing | having | containing | with | co expressing | coexpressing | carrying | bearing | including
LACK: lack | lacks | negative for | devoid of | miss
LACKING: lacking | without | missing | free of | with no | with neither
SEEN: detected | expressed | measured | present | found | observed | seen | occur | occurs | detectable | exist in | appear | appears | profiled
SEEN: captured | sampled | collected | recovered | recorded | obtained | counted | expressing cell
SEEN: co expressed | coexpressed | assayed | quantified
POS: positive | pos
NEG: negative | neg | deficient
BE: is | are | was | were | be | been | being | come from | comes from | came from | belong to | belongs to | fall into | labelled | labeled
BE: annotated as | annotated | classified as | called | identified as | originate from | originates from | derive from | derives from | lie in
BE: located | located in | situated | localised | localized | located at | used for | indicated for
BE: labelled as | labeled as | assigned to | stem from | taken from | coming from | make up | makes up | account for | belonging to
DO: do | does | did | how do | how does | how did
NOT: not | non | never
NO: no | not any | not a single
ABSENT: absent from | absent in | absent | missing from | missing in | lacking from | lacking in | not found in | not present in
ABSENT: not detected in | not seen in | not observed in | not represented in
MISSING: unknown | na | nan | not available | not recorded | unrecorded | not known | no value for | undefined
TRUE: is it true that | is it correct that | is it the case that | is it right that | is it so that | true or false
TIMES: time | time as many | fold
ONLY: only | solely | just | exclusively | alone
ONEOF: only one of | exactly one of | just one of | one but not both of
HOWMUCH: how much
HOW: how are | how is | how were
AND: what about | how about | and what about | and how about | and | but | as well as | plus | while | yet
OR: or | nor
BOTH: both
EITHER: either | either of | at least one of | any of | one or more of | one of
NEITHER: neither | none of | exactly none of | not any of | no one of | not one of
ALLOF: all of | each of | every one of
TOGETHER: together | simultaneously | at the same time | jointly | at once
ANY: any | some | a single | at least one | anything
ALL: all | every | each | all of the | every single
MAJ: most of | the majority of | mostly | majority of | predominantly | mainly | dominated by | largely | dominate | dominates | chiefly | primarily
AMONG: among | amongst | out of
IN: in | within | inside | from | on | at | under | during | for | across
OF: of
OUT: all but | anything but | everything but | all cell but | any but | every cell but | any cell but
OUT: outside | outside of | apart from those in | except for those in | except those in | leaving out | leaving aside | ignoring
OUT: aside from | not counting | with the exception of | disregarding | excluding those in | other than those in | omitting
OUT: except | excluding | other than | apart from | besides | except for | not in | beyond
BY: per | by | for each | in each | for every | in every | across | within each | of each | of every | grouped by | broken down by | each
BY: for every one of the | separately for each | separately by | split up by | according to | as a function of | within every | of each of the
BY: in each of the | for each of the | across each | by the different | by each | split by | stratified by | across all | from each | for all | for the different | across the different
THAN: than
TO: to
THERE: there
THAT: that | who | those
MORE: more | higher | larger | greater | bigger | elevated | up
LESS: fewer | lower | less | smaller | rarer | down
BOUND >: more than | over | above | greater than | higher than | larger than | exceeding | exceed | exceeds | > | in excess of | bigger than
BOUND >=: at least | no less than | not less than | a minimum of | no fewer than | >= | ≥ | greater than or equal to | minimum
BOUND <: less than | fewer than | below | under | lower than | smaller than | <
BOUND <=: at most | no more than | not more than | up to | a maximum of | <= | ≤ | less than or equal to | no higher than
BOUND =: exactly | equal to | precisely | = | equals | equal
AFTER >=: or more | or greater | or above | or higher | or over
AFTER <=: or fewer | or less | or below | or lower | or under
BETWEEN: between
HALF 0.5: half | half of | half the
HALF 0.25: a quarter | quarter of | a quarter of
HALF 0.3333333333333333: a third of
UNIT %: % | per cent | pct
GROUPS: sample | group | different value | value | category
GENES: gene | feature
MARKERS: marker | marker gene | signature gene | signature | top marker | characteristic gene | defining gene | best marker | upregulated gene
MARK: mark | marks | define | defines | characterise | characterize | characterises | distinguish | distinguishes | separate | separates
MARK: sets apart | set apart | tell apart | tells apart | discriminate | discriminates
WHY: why | how come | for what reason
PLACE: where
EXPRESSION: expression | expression level | level | expression of | level of | the level of | transcript of
THEM: these | them | those | they | it | its | their | this selection | the same | of them | of these | of those | this | these one
COMPOSITION: composition | break down | breakdown | make up of | mixture | distribution | composed of | consist of
COMPOSITION: distributed | spread | split | divided | consists of | made of | made up of
DOUBLET: doublet | doublet like | multiplet
LOWQ: low quality | poor quality | bad quality | low quality like | damaged
LIKE: most like | most similar to | similar to | nearest to | nearest neighbour of | closest to | resemble | resembles | like
DESCRIBE: describe | what do you know about | tell me about | what role does | role of | function of | what role do
-: the | a | an | please | can you | could you | in the data | in this dataset | in these data | in the dataset | in this data | in total
-: overall | altogether | did you find | do you find | did we find | did you see | we | i | you | me | us | in the data set | in our data | given | really
-: all told | hi | hello | thanks
-: can | could | would | kindly | for me | let me know | do you know | i would like to know | i'd like to know | i want to know
-: i would like to see | i'd like to see | i wonder | i need | i need to know | would you | do we find | we find | can we find | can i find | do we see | do i have
-: in our dataset | in my data | in my dataset | in the study | in the experiment | of the dataset | of the data | across the dataset
-: across the data | in the whole dataset | in the entire dataset | in the full dataset | in the object | thank you
-: here | in here | do you see
-: data | dataset | data set | our | my | anndata | also
"""  # noqa: E501
# What a column, a group and a row are called.
COLUMN_WORDS = {
    "cluster": ("cluster", "clustering"), "group": ("group",),
    "type": ("cell type", "celltype", "type", "label", "annotation", "cell population", "population", "type of cell",
             "kind of cell", "sort of cell", "cell label", "cell identity", "identity", "subset", "cell subset"),
}  # fmt: skip
SHORT_FORMS = {
    "stim": "stimulated", "ctrl": "control", "ctl": "control", "con": "control", "treat": "treated", "trt": "treated",
    "wt": "wild type", "ko": "knockout", "f": "female", "m": "male", "unstim": "unstimulated", "hc": "healthy control",
    "mono": "monocyte", "dis": "diseased", "inf": "infected",
}  # fmt: skip
ROW_WORDS = {
    "cell": ("cell", "barcode", "single cell", "row"),
    "molecule": ("molecule", "compound", "drug", "structure", "row", "substance", "chemical", "medicine"),
    "protein": ("protein", "sequence", "peptide", "row", "polypeptide"),
}
# Words that no name of a cell type holds, and those that make something else of one.
_NEVER_TYPES = (
    "and or of in not the with a an is are , / & than between to for from no"
    " but nor per by that which how many what most least more less all any each both"
)
NEVER_TYPES = frozenset(_NEVER_TYPES.split())
DEGREES = frozenset(["-", "−", "negative", "neg", "low", "lo", "dim", "high", "hi", "bright", "int", "mature"])
_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"


def singular(word: str) -> str:
    """Return the singular of a word, the same for singular and plural."""
    if (
        len(word) < 4
        or word.endswith(("ss", "us"))
        or (word.endswith("is") and len(word) > 4)
        or not word.endswith("s")
    ):
        return word[:-1] if len(word) == 3 and word.endswith("s") and word[:2].isalpha() and word not in _KEPT else word
    return (
        word[:-3] + "y"
        if word.endswith("ies") and len(word) > 4
        else re.sub(r"(?<=x)es$|(?<=[sc]h|ss)es$|s$", "", word)
    )


# Roles whose words the data may use as names of their own.
SOFT = frozenset(["MISSING", "TIMES", "ONLY", "SIZETOP", "DOUBLET", "LOWQ", "GROUPS"])
_KEPT = frozenset(["has", "was", "its", "yes", "gas", "bus", "als", "ros", "les"])


@cache
def closed_words() -> dict[tuple[str, ...], tuple[str, str]]:
    """Role and value of each phrase, by its words."""
    found = {}
    for line in _LINES.strip().splitlines():
        head, _, phrases = line.partition(": ")
        role, _, value = head.partition(" ")
        for phrase in phrases.split(" | "):
            found[tuple(phrase.strip().split())] = (role, value)
    return found | {(word,): ("NUM", str(i)) for i, word in enumerate(_NUMBERS.split())}
