from __future__ import annotations

import pytest

import scbioverse as sb
from scbioverse.errors import InputError

REAL = (
    "The molecule is a tetramine that is N,N'-bis(6-aminohexyl)octane-1,8-diamine. It has a role as an EC 3.1.1.7 "
    "(acetylcholinesterase) inhibitor, a muscarinic antagonist and a drug. It is a member of pterocarpans, a member of "
    "phenols, a 11,12-saturated fatty acyl-CoA and an aromatic ether. It is a conjugate base of a methoctramine(4+). "
    "It derives from a spermine."
)


def test_roles() -> None:
    assert sb.metrics.extract_roles(REAL) == {
        "ec 3.1.1.7 (acetylcholinesterase) inhibitor", "muscarinic antagonist", "drug",
    }  # fmt: skip


def test_classes() -> None:
    assert sb.metrics.extract_classes(REAL) == {
        "pterocarpans", "phenols", "11,12-saturated fatty acyl-coa", "aromatic ether",
    }  # fmt: skip
    assert sb.metrics.extract_classes("The molecule is a drug.") == frozenset()
    assert sb.metrics.extract_classes("It is an enantiomer of a D-ethionine.") == frozenset()
    assert sb.metrics.extract_roles("") == frozenset()


def test_agreement() -> None:
    found = sb.metrics.set_agreement([{"a", "b"}, {"c"}, {"z"}], [{"a"}, {"c"}, set()])
    assert found == {"exact": 0.5, "precision": 2 / 3, "recall": 1.0, "f1": 4 / 5, "n_rows": 2}
    with pytest.raises(InputError, match="nothing is expected"):
        sb.metrics.set_agreement([{"a"}], [set()])
    with pytest.raises(InputError, match="1 predicted and 2 expected"):
        sb.metrics.set_agreement([{"a"}], [{"a"}, {"b"}])
