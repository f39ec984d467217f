"""Sphinx configuration."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import metadata
from pathlib import Path

HERE = Path(__file__).parent
_info = metadata("scbioverse")

project = "scbioverse"
author = "scbioverse developers"
copyright = f"2026, {author}"
version = release = _info["Version"]

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_autodoc_typehints",
    "sphinx_copybutton",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates", "**.ipynb_checkpoints"]
# References into other projects need their inventories: without a connection there are none to check against.
online = os.environ.get("SCBIOVERSE_OFFLINE") == "0"  # asked for: a build opens no connection by itself
nitpicky = True
nitpick_ignore_regex = [
    # The rooms behind the public ones have no pages: what is said of them is read in the code.
    ("py:.*", r"scbioverse\.(app|io|knowledge|llm|nn|predict|train)\..*"),
    ("py:.*", r"scbioverse\.(ask|encoders|models)\.[a-z_]+(\..*)?"),
    *([] if online else [("py:.*", r"(?!scbioverse\b).*")]),
    # Aliases that autodoc spells by their private place, and types that have no page of their own.
    ("py:.*", r"(scbioverse\._.*|.*\bRng\b|.*\bNDArray\b.*|.*\bArrayLike\b.*)"),
    ("py:.*", r"(numpy\._typing.*|optional|Axes|Figure|AnnData|Path)"),
]

autosummary_generate = True
autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
typehints_defaults = "braces"

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # tutorials are committed with their outputs; `make tutorials` runs them
nb_merge_streams = True

html_theme = "sphinx_book_theme"
html_title = "scbioverse"
html_static_path = ["_static"]
html_theme_options = {"show_toc_level": 2, "home_page_in_toc": True}

_inventories = {
    "python": ("https://docs.python.org/3", None),
    "anndata": ("https://anndata.readthedocs.io/en/stable/", None),
    "matplotlib": ("https://matplotlib.org/stable/", None),
    "numpy": ("https://numpy.org/doc/stable/", None),
    "pandas": ("https://pandas.pydata.org/docs/", None),
    "scanpy": ("https://scanpy.readthedocs.io/en/stable/", None),
    "torch": ("https://docs.pytorch.org/docs/stable/", None),
}
intersphinx_mapping = _inventories if online else {}


def setup(app: object) -> None:
    """Bring the tutorials into the source tree: Sphinx reads only below its own folder."""
    target = HERE / "generated" / "tutorials"
    shutil.rmtree(target, ignore_errors=True)  # one that was renamed would stay
    target.mkdir(parents=True, exist_ok=True)
    for notebook in (HERE.parent / "tutorials").glob("*.ipynb"):
        shutil.copy2(notebook, target / notebook.name)
