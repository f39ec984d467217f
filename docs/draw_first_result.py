"""Draw the picture of the README and the front page: pbmc3k named without a list. Prints the reasons beside it.

python docs/draw_first_result.py       # writes docs/_static/annotation_umap.png
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

import scbioverse as sb

HERE = Path(__file__).parent


def main() -> None:
    mpl.use("Agg")
    adata = sb.datasets.pbmc3k()
    sb.tl.annotate(adata)
    figure = sb.pl.annotation_umap(adata, return_fig=True)
    figure.savefig(HERE / "_static" / "annotation_umap.png", dpi=75)
    for label, reason in adata.obs.groupby("bioverse_label", observed=True)["bioverse_rationale"].first().items():
        print(f"{label}: {reason}")


if __name__ == "__main__":
    main()
