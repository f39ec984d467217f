"""A configuration's sha256 over its own values: files have theirs in it, and a flipped bit in it is found as well."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from ..errors import WeightsError

if TYPE_CHECKING:
    from pathlib import Path

SEAL = "sha256"


def sealed(values: dict[str, Any]) -> dict[str, Any]:
    """Add the sha256 of values to them, as they will be read: JSON makes texts of keys, which sort otherwise."""
    return {**values, SEAL: _digest(json.loads(json.dumps(values)))}


def check_seal(values: dict[str, Any], file: Path) -> None:
    """Compare values with their sha256, if they have one; configurations of earlier versions have none."""
    if SEAL in values and values[SEAL] != (found := _digest(values)):
        raise WeightsError(
            f"{file} was changed since it was saved: its values have sha256 {found}, expected {values[SEAL]!s:.64}. "
            f"Save or fetch the model again. If the change is yours, take the entry {SEAL!r} out of the file."
        )


def _digest(values: dict[str, Any]) -> str:
    kept = {key: value for key, value in values.items() if key != SEAL}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
