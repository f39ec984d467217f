"""The language model of a model: opened on first use, once for all that read with it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from ..llm.represent import represent
from ..llm.resolve import refuse_to_fetch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..llm import Backbone

# Representations of texts that are kept: 20,000 of SmolLM2-135M take 46 MB.
MOST_TEXTS = 20_000


class LanguageModel:
    """Where a language model is loaded from and, once it was, the language model.

    Copies of a model hold the same one, so that none of them loads it again. What only depends on it is kept with it.

    Parameters
    ----------
    name
        Name or path.
    device
        Where it is run.
    mentioned_by
        Whose file it is named in where no user named it: it is then not fetched from the hub.

    Attributes
    ----------
    shared
        Whether models read with it that do not know of each other: none of them may then move it.
    texts
        What :func:`scbioverse.llm.represent.represent` made of texts, by layer and text.
    """

    def __init__(self, name: str, *, device: str = "auto", mentioned_by: str = "") -> None:
        self.name, self.device, self.mentioned_by = name, device, mentioned_by
        self.shared = False
        self.texts: dict[tuple[int, str], NDArray[np.float32]] = {}
        self._opened: Backbone | None = None
        self._lock = threading.Lock()

    def open(self) -> Backbone:
        """Return the language model; the first call loads it."""
        with self._lock:
            if self._opened is None:
                if self.mentioned_by:
                    refuse_to_fetch(self.name, mentioned_by=self.mentioned_by)
                from ..llm import Backbone

                self._opened = Backbone.load(self.name, device=self.device)
            return self._opened

    def elsewhere(self, device: str) -> LanguageModel:
        """Return the same language model on another device, to be loaded anew."""
        return LanguageModel(self.name, device=device, mentioned_by=self.mentioned_by)

    def represent(self, backbone: Backbone, texts: Sequence[str], layer: int) -> NDArray[np.float32]:
        """Represent texts by the language model, each once as long as it lives: float32 (n, d_llm).

        One at a time: in bfloat16 a text's last digits depend on what it is batched with, and a result must depend
        neither on the other labels nor on what was asked before. On a CPU it costs little.
        """
        kept = self.texts
        if len(kept) > MOST_TEXTS:
            kept.clear()
        rows = {text: row for text in dict.fromkeys(texts) if (row := kept.get((layer, text))) is not None}
        if new := [text for text in dict.fromkeys(texts) if text not in rows]:
            rows |= zip(new, represent(backbone, new, layer=layer, batch_size=1), strict=True)
            kept |= {(layer, text): rows[text] for text in new}
        found = [rows[text] for text in texts]
        return np.stack(found) if found else np.empty((0, backbone.d_llm), dtype=np.float32)

    @property
    def n_bytes(self) -> int:
        """Memory that its weights take; 0 as long as it is not loaded."""
        model = getattr(self._opened, "model", None)
        return 0 if model is None else sum(one.numel() * one.element_size() for one in model.parameters())
