"""The examples in the docstrings of public functions run, and print what they say."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from anndata import AnnData

import scbioverse as sb
from scbioverse.pl import _alignment_umap, _layout
from tests.docs.conftest import brought
from tests.test_public_api import PACKAGES

# Data sets are read as they are, which takes a second each; the others are given a few cells.
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What these show needs a hub or models of the reader, is of all cells, or writes a text of each.
NOT_HERE = {"datasets.load", "datasets.fetch", "datasets.pbmc3k", "models.extend", "models.join", "tl.tune"}


def examples() -> Iterator[Any]:
    for package in (*PACKAGES, ""):
        module = importlib.import_module(f"scbioverse.{package}".rstrip("."))
        for name in module.__all__:
            member = getattr(module, name)
            if not (inspect.isfunction(member) or inspect.isclass(member)):
                continue
            title = f"{package}.{name}".lstrip(".")
            found = doctest.DocTestParser().get_examples(inspect.getdoc(member) or "")
            if found and title not in NOT_HERE:
                yield pytest.param(found, module, id=title)


@pytest.mark.usefixtures("quick")
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(("found", "module"), list(examples()))
def test_example_runs(
    found: list[doctest.Example],
    module: Any,
    few: AnnData,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    for place in (_alignment_umap, _layout):
        monkeypatch.setattr(place, "umap_layout", lambda points, rng=None: np.asarray(points[:, :2], np.float32))
    annotate = sb.tl.annotate
    monkeypatch.setattr(sb.tl, "annotate", lambda *a, **k: annotate(*a, **{"labels": ["B", "T cell", "NK"]} | k))
    names = brought(few) | {name: getattr(module, name) for name in module.__all__}
    for example in found:
        if example.options.get(doctest.SKIP):
            continue
        source = example.source.strip()
        try:
            value = eval(source, names)
        except SyntaxError:
            value = exec(source, names)
        # Many show a call alone; what follows a call is what it returns.
        if example.want and value is not None:
            assert doctest.OutputChecker().check_output(
                example.want.replace("2700", str(few.n_obs)), f"{value!r}\n", OPTIONS
            ), (source, value)
    plt.close("all")
