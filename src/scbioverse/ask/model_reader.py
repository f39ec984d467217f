"""A language model reads questions: names are replaced, a line is written, and every word has to be accounted for."""

from __future__ import annotations

import json
import math
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from .._logging import logger
from ..llm import Backbone
from ..llm.adapter import CONFIG, Adapter
from ..llm.generate import generate
from ..llm.prefix import PrefixCache
from ..llm.prompts import encode_plain
from .accounting import unaccounted, unsayable
from .linear import NONE, following, query_of, symbols
from .query import UnreadError
from .refusals import not_together, refuse_unknown
from .slots import slots_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names
    from .query import Query, Refusal
    from .slots import Slots
    from .words import Link

# Pairs that a model without an adapter is shown.
EXAMPLES = (
    ("how many T1 express G1 but not G2", "count where T1 and G1 and not G2"),
    ("what fraction of cells with M1 above N1 is T1", "fraction where T1 among M1 above N1"),
    ("which C1 has the most T1", "count where T1 by C1 rank most"),
    ("mean M1 of T1 per C1", "mean of M1 where T1 by C1"),
    ("are there more T1 than T2", "count sides T1 to T2 check more"),
    ("which C1 contain any T1", "count where T1 by C1 filter above nothing"),
    ("do all T1 express G1", "fraction where G1 among T1 check from all"),
    ("what is M1 of R1", "value of M1 rows R1"),
    ("how many T1 died", NONE),
    ("what distinguishes T1 from T2", "distinguish sides T1 to T2"),
)
_MOST_TOKENS = 120
_SHIPPED = Path(__file__).parent.parent / "models" / "weights" / "questions"


def prompt_ids(backbone: Backbone, text: str) -> list[int]:
    """Token ids of a question with placeholders; its line follows."""
    return encode_plain(backbone, f"{text}\n")


def symbol_ids(backbone: Backbone, symbol: str) -> list[int]:
    """Token ids of a symbol of a line; that of the end for ""."""
    return encode_plain(backbone, f" {symbol}") if symbol else [backbone.eos_id]


class ModelReader:
    """Reads by a language model that may write nothing but lines of queries.

    What it writes is taken where it holds every name of the question, where every other word stands for a part of the
    query, and every part for a word (:func:`scbioverse.ask.accounting.unaccounted`); else the question is refused.

    Parameters
    ----------
    names, backbone
        Names of the data, and the language model.
    adapter
        Trained on such lines, see `recipes/questions`. None: the model is shown a few examples.
    least
        Probability of the line, among all lines that may be written, that is asked for.
    strict
        Whether words must be accounted for; without it whatever is written is run, if it can be.
    """

    def __init__(
        self,
        names: Names,
        backbone: Backbone,
        adapter: Adapter | None = None,
        *,
        least: float = 0.3,
        strict: bool = True,
    ) -> None:
        self.names, self.least, self.strict = names, least, strict
        self.backbone = backbone.reading_with(adapter)
        shown = "" if adapter is not None else "".join(f"{text}\n {line}\n\n" for text, line in EXAMPLES)
        self._opening = [*self.backbone.bos_ids, *encode_plain(self.backbone, f"{shown}\n")]
        self._written: dict[str, tuple[list[str], float]] = {}

    @cached_property
    def _prefix(self) -> PrefixCache:
        return PrefixCache(self.backbone, self.backbone.embed_tokens(torch.tensor([self._opening])))

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; follow-ups are left to the rules."""
        slots, refusal = slots_of(links, self.names), not_together(links, self.names.rows).refusal
        if slots is None or not slots.text:
            return refusal
        if slots.text not in self._written:
            self._written[slots.text] = self.write(slots)
        line, probability = self._written[slots.text]
        lost: list[str] = []
        if line and line[0] != NONE and (probability >= self.least or not self.strict):
            try:
                query = query_of(line, slots.held, self.names)
                lost = unaccounted(slots, line) if self.strict else []
                if not lost:
                    return query
            except ValueError:
                pass  # a line that no row can fulfil, or that lacks a part
        try:
            refuse_unknown(links, self.names.rows)
        except UnreadError as why:
            return why.refusal
        return refusal

    def settle(self, *, refused: bool) -> None:
        """Do nothing: no question is read against the one before."""

    def write(self, slots: Slots) -> tuple[list[str], float]:
        """Write the most probable line, symbol by symbol; return it with its probability."""
        barred = unsayable(slots)
        held = [one for one in [*slots.held, "genes"] if one not in barred]
        spelt = {one: tuple(symbol_ids(self.backbone, one)) for one in ["", *symbols(), *held]}

        def allowed(written: tuple[int, ...]) -> list[int]:
            line, begun = _parsed(written, spelt, held)
            may = following(line, held)
            ways = [spelt[one] for one in [one for one in may if one not in barred] or may]
            return sorted({one[len(begun)] for one in ways if one[: len(begun)] == begun and len(one) > len(begun)})

        embeds = self.backbone.embed_tokens(torch.tensor([prompt_ids(self.backbone, slots.text)]))
        # What is too improbable to be taken need not be written to its end.
        least = math.log(self.least) if self.strict and self.least > 0 else -math.inf
        (found,) = generate(
            self.backbone, self._prefix, embeds, max_new_tokens=_MOST_TOKENS, allowed=allowed, least=least
        )
        line, begun = _parsed(found.ids, spelt, held)
        return (line, math.exp(found.log_prob)) if found.ended and not begun else ([], 0.0)


def _parsed(
    ids: tuple[int, ...], spelt: dict[str, tuple[int, ...]], held: list[str]
) -> tuple[list[str], tuple[int, ...]]:
    """Read token ids as symbols; the second are those of a symbol that is begun."""
    line: list[str] = []
    while ids:
        found = [one for one in following(line, held) if one and ids[: len(spelt[one])] == spelt[one]]
        if not found:
            break
        line.append(max(found, key=lambda one: len(spelt[one])))
        ids = ids[len(spelt[line[-1]]) :]
    return line, ids


@cache
def _opened(place: str, device: str) -> tuple[Backbone, Adapter | None]:
    """Open a language model, or the one that an adapter in a folder was trained for, with the adapter."""
    logger.warning("a language model is loaded to read this question, which takes seconds (reader='rules' needs none)")
    place = str(_SHIPPED) if place in ("both", "auto") else place
    if not (Path(place) / CONFIG).is_file():
        return Backbone.load(place, device=device), None
    plain = json.loads((Path(place) / CONFIG).read_text(encoding="utf-8"))
    return Backbone.load(plain["base_model_name_or_path"], device=device), Adapter.load(Path(place))


def model_reader(names: Names, reader: str | Path, device: str = "auto") -> ModelReader:
    """Make what proposes queries: SmolLM2-135M with the adapter in the package for `"both"` and `"auto"`.

    Or another in its place: a name, a folder, an id of the hub, or the folder of an adapter of `recipes/questions`.
    """
    return ModelReader(names, *_opened(str(reader), device))
