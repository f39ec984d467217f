from __future__ import annotations

from itertools import combinations

import numpy as np
from anndata import AnnData
from matplotlib.colors import to_rgb

from scbioverse.pl._style import ABSENT, PALETTE, palette

# Matrices that turn linear RGB into what people without one kind of cone see (Machado et al. 2009, severity 1).
DEFICIENCIES = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(colour: str, matrix: list[list[float]] | None) -> np.ndarray:
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    if matrix is not None:
        linear = np.clip(np.array(matrix) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    f = np.cbrt(np.maximum(xyz / [0.9505, 1.0, 1.089], 1e-6))
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_hues_differ_for_every_kind_of_colour_vision() -> None:
    for name, matrix in {"full": None, **DEFICIENCIES}.items():
        nearest = min(np.linalg.norm(lab(a, matrix) - lab(b, matrix)) for a, b in combinations(PALETTE, 2))
        assert nearest > 8, name


def test_own_colours_are_kept(cells: AnnData) -> None:
    categories = list(cells.obs["cell_type"].cat.categories)
    cells.uns["cell_type_colors"] = ["#000001", "#000002", "#000003", "#000004", "#000005"]
    assert palette(cells, "cell_type", categories[1:3]) == {categories[1]: "#000002", categories[2]: "#000003"}


def test_many_labels_repeat_no_colour(cells: AnnData) -> None:
    names = [f"type {i}" for i in range(30)]
    assert len(set(palette(cells, "absent", names).values())) == 30


def test_no_type_is_grey(cells: AnnData) -> None:
    assert palette(cells, "absent", ["B", "Unassigned", "T"]) == {
        "B": PALETTE[0],
        "Unassigned": ABSENT,
        "T": PALETTE[1],
    }
