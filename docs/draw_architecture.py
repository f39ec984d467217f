"""Draw the way of a cell through the package, from the names of its own rooms and files.

    python docs/draw_architecture.py       # writes docs/_static/architecture.svg

A box names a file or folder of `src/scbioverse`; one that is not there ends the drawing with an error.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "src" / "scbioverse"
INK, FAINT = "#222222", "#666666"
FROZEN, TRAINED, CODE, DATA = "#cfe3f3", "#f6dcae", "#eceef2", "#ffffff"

# Column, row, what it is called, what it does, where it is, how it is drawn.
BOXES = (
    (0, 1, "your AnnData", "counts or log values", "", DATA),
    (1, 1, "read", "matrix, genes and scale\nare checked once", "io", CODE),
    (2, 1, "encoder", "a cell becomes a vector", "encoders", FROZEN),
    (3, 1, "projector", "a vector becomes\nsoft tokens", "nn/projector.py", TRAINED),
    (4, 1, "language model", "reads soft tokens\nbetween words", "llm", FROZEN),
    (2, 0, "names", "your labels become\nCell Ontology terms", "knowledge", CODE),
    (3, 0, "sources", "nearness, attention,\nmarkers, its word", "predict/sources", CODE),
    (4, 0, "decision", "label, confidence,\nunknown", "predict/decide.py", CODE),
    (5, 0, "reasons", "genes are tested\non your cells", "explain", CODE),
    (6, 0, "results", "obs, obsm, uns;\nall of it or nothing", "_slots.py", DATA),
    (5, 1, "questions", "words become a query,\nthe query is counted", "ask", CODE),
    (6, 1, "pictures, pages", "figures, a report,\na page to correct on", "pl", CODE),
)
ARROWS = (
    ("your AnnData", "read"), ("read", "encoder"), ("encoder", "projector"), ("projector", "language model"),
    ("language model", "sources"), ("names", "sources"), ("sources", "decision"), ("decision", "reasons"),
    ("reasons", "results"), ("results", "pictures, pages"), ("results", "questions"),
)  # fmt: skip
WIDE, HIGH, APART, ROW = 1.62, 0.86, 1.95, 1.45


def draw() -> Figure:
    figure = Figure(figsize=(11.4, 3.6))
    ax = figure.add_axes((0, 0, 1, 1))
    ax.set(xlim=(-0.95, 6 * APART + 0.95), ylim=(-1.05, ROW + 0.75))
    ax.axis("off")
    at = {}
    for column, row, name, does, where, colour in BOXES:
        if where and not (PACKAGE / where).exists():
            raise SystemExit(f"src/scbioverse/{where} is not there; docs/draw_architecture.py names it.")
        x, y = column * APART, row * ROW
        at[name] = x, y
        ax.add_patch(
            FancyBboxPatch(
                (x - WIDE / 2, y - HIGH / 2),
                WIDE,
                HIGH,
                boxstyle="round,pad=0,rounding_size=0.08",
                fc=colour,
                ec=FAINT,
                lw=1,
            )
        )
        ax.text(x, y + 0.25, name, ha="center", va="center", fontsize=10, fontweight="bold", color=INK)
        ax.text(x, y - 0.06, does, ha="center", va="center", fontsize=7.6, color=INK, linespacing=1.15)
        ax.text(x, y - 0.345, where, ha="center", va="center", fontsize=7, color=FAINT, family="monospace")
    for start, end in ARROWS:
        (x0, y0), (x1, y1) = at[start], at[end]
        if y0 == y1:
            places = (x0 + WIDE / 2, y0), (x1 - WIDE / 2, y1)
        else:
            side = 1 if y1 > y0 else -1
            places = (x0, y0 + side * HIGH / 2), (x1, y1 - side * HIGH / 2)
        ax.add_patch(
            FancyArrowPatch(*places, arrowstyle="-|>", mutation_scale=11, color=FAINT, lw=1.1, shrinkA=1, shrinkB=1)
        )
    keys = ((FROZEN, "frozen network"), (TRAINED, "trained by align"), (CODE, "code and tables"), (DATA, "your data"))
    for i, (colour, text) in enumerate(keys):
        x = i * 1.9 - 0.6
        ax.add_patch(
            FancyBboxPatch(
                (x, -0.93), 0.2, 0.14, boxstyle="round,pad=0,rounding_size=0.03", fc=colour, ec=FAINT, lw=0.8
            )
        )
        ax.text(x + 0.3, -0.86, text, va="center", fontsize=8, color=FAINT)
    return figure


def main() -> None:
    # Texts stay texts, which the browser sets; and nothing in the file tells when it was drawn.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "scbioverse", "font.family": "sans-serif"}):
        draw().savefig(HERE / "_static" / "architecture.svg", metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main()
