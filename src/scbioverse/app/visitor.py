"""One visitor of the page: labels corrected so far, the conversation, and the data as this visitor sees them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._slots import write_record
from ..errors import InputError
from ..tl._ask import Chat
from .shown import light_copy

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..ask.answer import Answer
    from .shown import Shown

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
        self.names = list(map(str, held.cat.categories))
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
        return self._move(self._done, self._undone)

    def redo(self) -> int:
        """Make the correction again that was taken back last; 0 where there is none."""
        return self._move(self._undone, self._done)

    def _move(self, steps: list[Step], to: list[Step]) -> int:
        if not steps:
            return 0
        step = steps.pop()
        self.codes[step.rows] = step.before if to is self._undone else step.label
        self.edits += 1
        to.append(step)
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


class Visitor:
    """What one visitor did. Matrices are shared with all others and never written into.

    The `lock` is to be held while `corrections` are changed.
    """

    def __init__(self, shown: Shown) -> None:
        self.shown = shown
        self.corrections = Corrections(shown.labels)
        # Who reads the tables holds the second, which is taken before the first where both are.
        self.lock, self._reading = threading.RLock(), threading.RLock()
        self._adata = light_copy(shown.adata)
        if shown.made:  # so that it need not be made again when the file is opened
            self._adata.obsm[shown.made] = shown.points
        self._seen, self._saved = -1, 0
        self._chats: tuple[bytes, Chat] | None = None

    def adata(self) -> AnnData:
        """Return the data with the labels as they are now; what was computed for a label that changed goes.

        Beside the labels stand, once one was changed: `<labels>_before`, what the first visitor of this file found,
        and `<labels>_corrected`, whether a row differs from that; `uns["bioverse"]["correct"]` says what was done.
        """
        with self._reading, self.lock:
            if self.corrections.edits != self._seen:
                self._write()
                self._seen = self.corrections.edits
            return self._adata

    def save(self, place: Path) -> None:
        """Write the data with the labels as they are now."""
        with self._reading:
            self.adata().write_h5ad(place)
            self._saved = self._seen

    def _write(self) -> None:
        shown, changed = self.shown, self.corrections.changed
        obs, self._adata.uns = shown.adata.obs.copy(), dict(shown.adata.uns)
        if changed.any():
            key, before, corrected = shown.label_key, f"{shown.label_key}_before", f"{shown.label_key}_corrected"
            if before not in obs:
                obs[before] = pd.Categorical(shown.labels)
            obs[key] = self.corrections.labels()
            first, last = obs[before].astype(object), obs[key].astype(object)
            obs[corrected] = ((first != last) & ~(first.isna() & last.isna())).to_numpy(bool)
            if shown.own:
                self._forget(obs, changed)
            steps = [*shown.earlier, *self.corrections.history()]
            write_record(self._adata, shown.step, label_key=key, steps=steps)
        self._adata.obs = obs

    def _forget(self, obs: pd.DataFrame, changed: NDArray[np.bool_]) -> None:
        """Take away what was computed for labels that these rows no longer have; ids are those of the new labels."""
        slots = self.shown.slots
        numbers = (slots.confidence, slots.margin, slots.entropy, slots.elsewhere)
        for slot in obs.columns.intersection([*numbers, slots.rollup, f"{slots.rollup}_cl_id"]):
            obs[slot] = obs[slot].where(~changed)
        old = self.shown.labels.fillna("no label").to_numpy()
        if slots.rationale in obs:
            said = obs[slots.rationale].astype(object).to_numpy(copy=True)
            said[changed] = [f"Set by hand; the label before was {one}." for one in old[changed]]
            obs[slots.rationale] = said
        if slots.cl_id in obs:
            ids = obs[slots.cl_id].astype(object).to_numpy(copy=True)
            now = obs[self.shown.label_key].astype(object)[changed]
            ids[changed] = now.map({one: self.shown.id_of(one) for one in now.unique()}).to_numpy()
            obs[slots.cl_id] = pd.Categorical(ids)

    def ask(self, question: str, rows: NDArray[np.bool_] | None = None) -> Answer:
        """Answer a question about all rows or some; a follow-up knows what came before, about the same rows."""
        if rows is not None and not rows.any():
            raise InputError("no cells are selected: select some, or ask about all.")
        with self._reading:
            about = b"" if rows is None else np.packbits(rows).tobytes()
            adata = self.adata()
            if self._chats is None or self._chats[0] != about:
                shown, cells = self.shown, self.shown.cells
                options: dict[str, Any] = {"key": cells.key, "layer": cells.layer, "key_added": shown.slots.key}
                self._chats = about, Chat(adata, groupby=shown.groupby, cells=rows, model=shown.model, **options)
            return self._chats[1].ask(question)

    @property
    def unsaved(self) -> bool:
        """Whether labels were changed since the file was taken last."""
        return self.corrections.edits != self._saved
