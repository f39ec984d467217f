"""Labels as a visitor corrects them; every step can be taken back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_NAME_CHARS = 120


@dataclass(frozen=True, eq=False)
class Step:
    """One correction."""

    rows: NDArray[np.int64]  # which got the label
    before: NDArray[np.int32]  # what they had
    label: int


class Corrections:
    """The labels of all rows, as they are now; missing ones stay missing until they are set.

    `names` are those of the beginning, then those that were added; `codes`, int32 (n,), positions in them, -1 for none;
    `edits` counts changes, undo and redo among them.
    """

    def __init__(self, labels: pd.Series) -> None:
        held = labels.astype("category")
        self.names = [str(one) for one in held.cat.categories]
        self.codes: NDArray[np.int32] = np.array(held.cat.codes, dtype=np.int32)
        self._start = self.codes.copy()
        self.edits = 0
        self._done: list[Step] = []
        self._undone: list[Step] = []

    def set(self, rows: NDArray[np.bool_], name: str) -> int:
        """Give rows a label, and return how many of them had another."""
        name = " ".join(name.split())
        if not name or len(name) > MOST_NAME_CHARS or not name.isprintable():
            raise InputError(f"a label is 1 to {MOST_NAME_CHARS} readable characters; found {name!r:.60}.")
        if not rows.any():
            raise InputError("no cells are selected: draw around some, or choose a group, then set the label.")
        label = self.names.index(name) if name in self.names else len(self.names)
        changed = np.flatnonzero(rows & (self.codes != label))
        if changed.size:
            self.names += [name] if label == len(self.names) else []
            self._done.append(Step(changed, self.codes[changed], label))
            self._undone.clear()
            self.codes[changed] = label
            self.edits += 1
        return int(changed.size)

    def undo(self) -> int:
        """Take the last correction back, and return of how many rows; 0 where there is none."""
        if not self._done:
            return 0
        step = self._done.pop()
        self.codes[step.rows] = step.before
        self.edits += 1
        self._undone.append(step)
        return int(step.rows.size)

    def redo(self) -> int:
        """Make the correction again that was taken back last; 0 where there is none."""
        if not self._undone:
            return 0
        step = self._undone.pop()
        self.codes[step.rows] = step.label
        self.edits += 1
        self._done.append(step)
        return int(step.rows.size)

    @property
    def n_done(self) -> int:
        """Corrections that can be taken back."""
        return len(self._done)

    @property
    def n_undone(self) -> int:
        """Corrections that can be made again."""
        return len(self._undone)

    @property
    def changed(self) -> NDArray[np.bool_]:
        """Rows whose label is not that of the beginning, bool (n,)."""
        return self.codes != self._start

    def labels(self) -> pd.Categorical:
        """Return the labels of all rows; names that no row has and that were not there at the beginning go."""
        first = int(self._start.max(initial=-1)) + 1
        used = set(np.unique(self.codes).tolist())
        whole = pd.Categorical.from_codes(self.codes, pd.Index(self.names, dtype=object))
        return whole.remove_categories([name for i, name in enumerate(self.names) if i >= first and i not in used])

    def history(self) -> list[dict[str, object]]:
        """Say what was done, oldest first: `label` and `n` rows."""
        return [{"label": self.names[one.label], "n": int(one.rows.size)} for one in self._done]
