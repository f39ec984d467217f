"""general.txt: plain sentences about everyday matters, put together from word lists; none is about cells."""

from __future__ import annotations

from itertools import product

from _tables import TARGET

# Each theme: sentence patterns with two slots, and what may fill them.
THEMES: list[tuple[list[str], list[str], list[str]]] = [
    (
        ["{0} will bring {1} to the coast by tomorrow evening.", "Farmers blamed {0} for {1} this spring."],
        ["a cold front", "the summer storm", "a week of fog"],
        ["heavy rain", "strong winds", "an early frost", "flooded roads"],
    ),
    (
        ["Stir {0} into the pan and let it simmer with {1}.", "The recipe asks for {0}, served with {1}."],
        ["chopped onions", "a cup of lentils", "two ripe tomatoes"],
        ["fresh basil", "warm bread", "a little olive oil", "roasted potatoes"],
    ),
    (
        ["The court ruled that {0} must {1}.", "According to the contract, {0} may {1}."],
        ["the tenant", "the insurance company", "either party"],
        ["give notice in writing", "pay within thirty days", "appeal the decision", "repair the roof"],
    ),
    (
        ["{0} won the final after {1}.", "Fans still talk about how {0} lost because of {1}."],
        ["the home team", "the young tennis player", "the visiting side"],
        ["a penalty in extra time", "two missed serves", "a brilliant last lap", "a disputed call"],
    ),
    (
        ["The train to {0} was delayed by {1}.", "We reached {0} late in spite of {1}."],
        ["Lisbon", "the mountain village", "the airport"],
        ["a broken signal", "road works", "a strike", "the holiday traffic"],
    ),
    (
        ["The museum shows {0} next to {1}.", "Critics compared {0} with {1}."],
        ["a medieval altarpiece", "an early photograph", "the new sculpture"],
        ["a modern installation", "old street maps", "a forgotten portrait", "glass from Venice"],
    ),
    (
        ["The central bank raised {0} because of {1}.", "Investors expect {0} to follow {1}."],
        ["interest rates", "its growth forecast", "the reserve requirement"],
        ["rising rents", "a weak currency", "falling exports", "higher wages"],
    ),
    (
        ["She plays {0} in an orchestra that rehearses {1}.", "He learned {0} by practising {1}."],
        ["the cello", "the French horn", "the piano"],
        ["every Tuesday", "in a church hall", "before breakfast", "with a neighbour"],
    ),
    (
        ["The software update fixes {0} and changes {1}.", "Users complained that {0} affected {1}."],
        ["a login error", "the slow start", "a missing button"],
        ["the default colours", "the search page", "the backup settings", "printing"],
    ),
    (
        ["The school will offer {0} to {1}.", "Parents asked whether {0} is suitable for {1}."],
        ["an evening course in Spanish", "a chess club", "a trip to the observatory"],
        ["older pupils", "beginners", "the whole year group", "new families"],
    ),
    (
        ["Paint {0} twice and wait for {1}.", "The carpenter fixed {0} before {1}."],
        ["the garden fence", "the kitchen door", "the bookshelf"],
        ["a dry day", "the next coat", "the varnish", "winter"],
    ),
    (
        ["The council voted to move {0} near {1}.", "Residents want {0} instead of {1}."],
        ["the bus stop", "the weekly market", "a playground"],
        ["the town hall", "another car park", "the river", "the old factory"],
    ),
]


def _capital(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


def build() -> str:
    """Write the sentences; return one line of counts."""
    lines = sorted(
        {
            _capital(pattern.format(a, b))
            for patterns, first, second in THEMES
            for pattern, a, b in product(patterns, first, second)
        }
    )
    path = TARGET / "general.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"{path.name}: {len(lines)} sentences"
