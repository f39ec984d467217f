"""From embeddings to soft tokens, and the space in which soft tokens and texts are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InputError, MismatchError
from ..llm.represent import TextSpace, default_layer, represent
from ..llm.text_table import TextTable
from ._fittings import Fittings
from ._parts import ALIGN_HINT, Float
from .config import TextSpaceConfig
from .shared_space import SharedHead

if TYPE_CHECKING:
    from collections.abc import Sequence

# Representations of texts that a model keeps: 20,000 of SmolLM2-135M take 46 MB.
MOST_TEXTS = 20_000


class Space(Fittings):
    """A model's coordinates: see :class:`BioVerse`."""

    def project(self, embeddings: Tensor | Float, modality: str = "cell") -> Tensor:
        """Turn embeddings into soft tokens.

        Parameters
        ----------
        embeddings
            float32 (n, n_tokens, dim), or (n, dim) for one token.
        modality
            Whose projector.

        Returns
        -------
        float32 (n, n_soft, d_llm).

        Raises
        ------
        MismatchError
            The embeddings have another shape than the model's encoder gives.
        """
        projector, x = self.ready(embeddings, modality)
        return projector(x)

    def ready(self, embeddings: Tensor | Float, modality: str) -> tuple[nn.Module, Tensor]:
        """Return a modality's projector, and embeddings checked and brought to where it is; see :meth:`project`."""
        self.check_modality(modality)
        x = torch.as_tensor(embeddings, dtype=torch.float32)
        x = x[:, None, :] if x.ndim == 2 else x
        made = self.config.encoders[modality]
        if x.ndim != 3 or tuple(x.shape[1:]) != (made.n_tokens, made.dim):
            raise MismatchError(
                f"embeddings have shape {tuple(x.shape)}; model {self.name!r} reads (n, {made.n_tokens}, {made.dim}) "
                f"for {modality!r}. Embed with the same model: scbioverse.tl.embed(adata, model=...)."
            )
        projector = self.modules["projectors"][modality]  # type: ignore[index]
        return projector, x.to(next(projector.parameters()).device)

    def to_shared(self, soft: Tensor, modality: str = "cell") -> Tensor:
        """Map soft tokens (n, n_soft, d_llm) to unit vectors (n, d_text)."""
        return self.shared(modality)(self._loaded(soft))

    def centre_shared(self, soft: Tensor, modality: str = "cell") -> None:
        """Start the modality's shared-space layer from soft tokens: centred, with unit mean square. Once is enough."""
        head = self.shared(modality)
        if not head.fitted:
            head.fit(self._loaded(soft.detach()))

    def _loaded(self, soft: Tensor) -> Tensor:
        if self.text_space is None:
            raise InputError(f"model {self.name!r} has no text space. {ALIGN_HINT}")
        return soft.float().mean(dim=1) @ self.text_space.components.to(soft.device)

    @torch.no_grad()
    def coordinates(self, embeddings: Float, modality: str = "cell", *, batch_size: int = 4096) -> Float:
        """Place inputs in the space shared with text.

        Returns
        -------
        float32 (n, d_text), unit length.
        """
        self.modules.eval()
        _ = self.text_dim
        made = self.config.encoders.get(modality)
        if made is not None and not made.placed:
            raise InputError(
                f"model {self.name!r} reads a {modality} in prompts: it was not trained to place one among texts. "
                f"Choose method='score', or go on: scbioverse.tl.align(adata, model=..., start='model', "
                f"modality={modality!r}, text_key=..., loss='contrastive')."
            )
        parts = [
            self.to_shared(self.project(embeddings[i : i + batch_size], modality), modality).cpu().numpy()
            for i in range(0, len(embeddings), batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.text_dim), np.float32)

    def fit_text_space(
        self,
        texts: Sequence[str],
        *,
        layer: int | None = None,
        dim: int = 256,
        shrinkage: float = 0.5,
    ) -> None:
        """Fit the text side of the shared space: centre and whiten the language model's states of `texts`.

        Shared-space layers start anew, since they belong to one text space.

        Parameters
        ----------
        texts
            What to fit on: descriptions as they will be compared.
        layer
            Blocks of the language model to run; a fifth of them if not given.
        dim, shrinkage
            See :meth:`scbioverse.llm.TextSpace.fit`.
        """
        layer = default_layer(self.backbone) if layer is None else layer
        space = TextSpace.fit(self._represent(texts, layer), dim=dim, shrinkage=shrinkage)
        self.set_text_space(space, TextSpaceConfig(layer, space.dim))

    def set_text_space(self, text_space: TextSpace, config: TextSpaceConfig) -> None:
        """Take over a fitted text space of the same language model; shared-space layers start anew."""
        self.text_space, self.config.text_space, self.text_table = text_space, config, None
        self.modules["shared"] = nn.ModuleDict(
            {modality: SharedHead(config.dim) for modality in self.config.encoders}
        ).to(next(self.modules.parameters()).device)

    def text_coordinates(self, texts: Sequence[str]) -> Float:
        """Place texts in the shared space: float32 (n, d_text), unit length."""
        if self.text_space is None or self.config.text_space is None:
            raise InputError(f"model {self.name!r} has no text space. {ALIGN_HINT}")
        layer = self.config.text_space.layer
        if self.text_table is None or not len(texts):
            return self.text_space.transform(self._represent(texts, layer))
        known, kept = self.text_table.find(texts)
        out = np.empty((len(texts), self.text_dim), dtype=np.float32)
        out[known] = kept
        if not known.all():
            new = [text for text, found in zip(texts, known, strict=True) if not found]
            out[~known] = self.text_space.transform(self._represent(new, layer))
        return out

    def keep_texts(self, texts: Sequence[str], coordinates: Float | None = None) -> None:
        """Remember where these texts lie, in the model and in what it saves, in place of those remembered before.

        They need not be read by the language model again; :class:`scbioverse.llm.text_table.TextTable` says how exact
        that is.

        Parameters
        ----------
        texts
            Different texts.
        coordinates
            float32 (n, d_text), unit length; computed if not given.
        """
        self.text_table = None
        found = self.text_coordinates(texts) if coordinates is None else coordinates
        self.text_table = TextTable.build(texts, found)

    def _represent(self, texts: Sequence[str], layer: int) -> Float:
        """Represent texts by the language model, each once as long as the language model lives.

        One at a time: in bfloat16 a text's last digits depend on what it is batched with, and a result must depend
        neither on the other labels nor on what was asked before. On a CPU it costs little.
        """
        kept = self.language.texts
        if len(kept) > MOST_TEXTS:
            kept.clear()
        rows = {text: row for text in dict.fromkeys(texts) if (row := kept.get((layer, text))) is not None}
        if new := [text for text in dict.fromkeys(texts) if text not in rows]:
            rows |= zip(new, represent(self.backbone, new, layer=layer, batch_size=1), strict=True)
            kept |= {(layer, text): rows[text] for text in new}
        found = [rows[text] for text in texts]
        return np.stack(found) if found else np.empty((0, self.config.llm.d_llm), dtype=np.float32)

    @torch.no_grad()
    def mean_soft_token(self, embeddings: Float, modality: str = "cell", *, batch_size: int = 4096) -> Float:
        """Mean of each input's soft tokens, float32 (n, d_llm)."""
        self.modules.eval()
        parts = [
            self.project(embeddings[i : i + batch_size], modality).float().mean(dim=1).cpu().numpy()
            for i in range(0, len(embeddings), batch_size)
        ]
        return np.concatenate(parts) if parts else np.empty((0, self.config.llm.d_llm), np.float32)
