"""Sets of published profiles as annotation problems: cells simulated from a set that a rehearsal left out.

Nearly all real cells with an expert's label that may be trained on are of blood, pancreas and brain. Profiles are of
the whole body. A set is what one group measured in one tissue, by its own protocol and with its own names, so that a
model trained without it meets it much as it meets a new study. The cells are simulated; no figure calls them cells.
"""

from __future__ import annotations

import numpy as np

from recipes.bioverse_small.data import Profiles, Study
from recipes.bioverse_small.simulate import SimulationConfig, simulate

FEWEST = 4


def set_names(profiles: Profiles) -> np.ndarray:
    """Name of the set that each profile is of, (p,) object: the last part of its source."""
    return np.array([source.split(":")[-1] for source in profiles.sources], dtype=object)


def without_sets(profiles: Profiles, sets: tuple[str, ...]) -> Profiles:
    """Leave out whole sets.

    Raises
    ------
    ValueError
        There is no set of a name.
    """
    names = set_names(profiles)
    if missing := set(sets) - set(names):
        raise ValueError(f"no profiles of {sorted(missing)}; there are sets {sorted(set(names))}")
    return profiles.take(~np.isin(names, sets))


def simulated_study(profiles: Profiles, name: str, rng: np.random.Generator, *, cells: int = 400) -> Study:
    """Simulate about `cells` cells of a set, as many of each profile, labelled by Cell Ontology id."""
    rows = np.flatnonzero(set_names(profiles) == name)
    config = SimulationConfig(cells_per_profile=max(FEWEST, cells // max(1, rows.size)))
    counts, origin = simulate(profiles.take(rows), config, rng)
    labels = profiles.cl_ids[rows][origin]
    return Study(name, counts, profiles.panel[rows].any(axis=0), labels, labels)
