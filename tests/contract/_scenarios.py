"""Every scenario that has golden files, by name."""

from __future__ import annotations

from collections.abc import Callable

from . import _annotate, _asked, _figures, _verbs
from ._golden import Found


def scenarios() -> dict[str, Callable[[], Found]]:
    """Return what to run for each name."""
    return {
        **{f"annotate_{one.name}": one.run for one in _annotate.SCENARIOS},
        **_verbs.VERBS,
        **_asked.VERBS,
        **_figures.VERBS,
    }
