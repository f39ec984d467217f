from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from scbioverse.encoders import PrecomputedEncoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scbioverse.llm import Backbone
    from scbioverse.models import BioVerse

NAMES = ["naive CD4 T cell", "memory CD4 T cell", "CD8 T cell", "B cell", "B cell precursor", "platelet"]


@pytest.fixture
def names() -> list[str]:
    """Labels with common beginnings, one of them the beginning of another."""
    return list(NAMES)


@pytest.fixture
def new_model(tiny_backbone: Backbone) -> Callable[..., BioVerse]:
    """Make models that read eight numbers a cell and differ by their seed only."""
    from scbioverse.models import BioVerse

    def make(rng: int = 0, **settings: object) -> BioVerse:
        encoder = PrecomputedEncoder("X_toy", dim=8)
        return BioVerse.new(encoder, llm=tiny_backbone, n_soft=2, hidden=16, rng=rng, **settings)

    return make


@pytest.fixture
def model(new_model: Callable[..., BioVerse]) -> BioVerse:
    return new_model()


@pytest.fixture
def toy() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """240 points around six centres, and which one each belongs to."""
    rng = np.random.default_rng(0)
    labels = np.arange(240) % len(NAMES)
    centres = rng.normal(size=(len(NAMES), 8)) * 2
    return (centres[labels] + rng.normal(size=(240, 8)) * 0.2).astype(np.float32), labels
