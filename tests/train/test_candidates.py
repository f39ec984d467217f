from __future__ import annotations

import numpy as np
import pytest
import torch

from scbioverse.errors import InputError
from scbioverse.train import CandidateSet

# Tokens: 9 ends. "1 2 9", "1 2 3 9", "1 4 9", "5 6 9".
NAMES = ["a", "ab", "b", "c"]
SEQUENCES = [[1, 2, 9], [1, 2, 3, 9], [1, 4, 9], [5, 6, 9]]


def choices(candidates: CandidateSet, name: str) -> dict[int, tuple[int, set[int]]]:
    """Position -> (right token, tokens to choose from)."""
    wanted = candidates.targets([name])
    found = {}
    for row in range(len(wanted.row)):
        allowed = {int(t) for t, a in zip(wanted.token, wanted.adjust[row], strict=True) if a > -np.inf}
        found[int(wanted.position[row])] = (int(wanted.token[wanted.target[row]]), allowed)
    return found


def test_choices_are_the_points_where_labels_part() -> None:
    candidates = CandidateSet(NAMES, SEQUENCES)
    assert choices(candidates, "a") == {0: (1, {1, 5}), 1: (2, {2, 4}), 2: (9, {9, 3})}
    assert choices(candidates, "c") == {0: (5, {1, 5})}
    np.testing.assert_array_equal(candidates.needed(["a", "ab", "b", "c"]), [2, 2, 1, 0])


def test_related_labels_are_no_alternative() -> None:
    related = np.zeros((4, 4), bool)
    related[0, 1] = related[1, 0] = True
    candidates = CandidateSet(NAMES, SEQUENCES, related=related)
    # Between "a" and "ab" nothing is decided; the other choices stay.
    assert choices(candidates, "a") == {0: (1, {1, 5}), 1: (2, {2, 4})}
    assert choices(candidates, "b") == {0: (1, {1, 5}), 1: (4, {2, 4})}
    np.testing.assert_array_equal(candidates.needed(["a", "b"]), [1, 1])


def test_a_way_with_unrelated_labels_stays_open() -> None:
    related = np.zeros((4, 4), bool)
    related[3, 0] = related[0, 3] = True
    candidates = CandidateSet(NAMES, SEQUENCES, related=related)
    assert choices(candidates, "c") == {0: (5, {1, 5})}  # "ab" and "b" still lie behind token 1
    assert choices(candidates, "a") == {1: (2, {2, 4}), 2: (9, {9, 3})}  # behind token 5 lies only "c"


def test_all_related_leaves_nothing_to_decide() -> None:
    candidates = CandidateSet(NAMES, SEQUENCES, related=np.ones((4, 4), bool))
    wanted = candidates.targets(["a", "c"])
    assert wanted.row.numel() == 0
    assert wanted.adjust.shape == (0, wanted.token.numel())


@pytest.mark.parametrize(
    ("names", "sequences", "message"),
    [
        (["a", "b"], [[1, 9], [1, 9]], "read the same"),
    ],
)
def test_bad_sets(names: list[str], sequences: list[list[int]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        CandidateSet(names, sequences)


def test_bad_relations_and_answers() -> None:
    with pytest.raises(KeyError, match="zz"):
        CandidateSet(NAMES, SEQUENCES).targets(["zz"])


def test_shares_add_up_below_each_child_and_leave_out_what_is_no_choice() -> None:
    candidates = CandidateSet(NAMES, SEQUENCES)
    shares = np.array([[0.1, 0.2, 0.3, 0.4], [0.4, 0.0, 0.4, 0.2]])
    wanted = candidates.targets(["a", "b"], shares)
    assert wanted.share is not None
    token = wanted.token.tolist()
    found = [{t: round(float(s), 6) for t, s in zip(token, row, strict=True) if s > 0} for row in wanted.share.double()]
    assert found[0] == {1: 0.6, 5: 0.4}
    assert found[1] == {2: 0.5, 4: 0.5}
    assert found[2] == pytest.approx({9: 1 / 3, 3: 2 / 3}, abs=1e-6)
    assert found[3] == {1: 0.8, 5: 0.2}
    assert found[4] == {2: 0.5, 4: 0.5}
    related = np.zeros((4, 4), bool)
    related[3, 0] = related[0, 3] = True
    wanted = CandidateSet(NAMES, SEQUENCES, related=related).targets(["c", "a"], shares)
    assert wanted.share is not None
    torch.testing.assert_close(wanted.share.sum(1), torch.ones(len(wanted.row)))
    assert not wanted.share[wanted.adjust.isneginf()].any()
    assert candidates.targets(["a"]).share is None
    # "ab" is behind the same token as "a" and "b", and is no alternative to "b" here.
    related = np.zeros((4, 4), bool)
    related[1, 2] = related[2, 1] = True
    wanted = CandidateSet(NAMES, SEQUENCES, related=related).targets(["b"], np.array([[0.2, 0.6, 0.1, 0.1]]))
    assert wanted.share is not None
    first = dict(zip(wanted.token.tolist(), wanted.share[0].tolist(), strict=True))
    assert (first[1], first[5]) == pytest.approx((0.75, 0.25))
