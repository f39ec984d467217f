from __future__ import annotations

import subprocess
import sys

import pytest

from scbioverse.knowledge import harmonise, load_genes


def test_symbols_stay_themselves_and_are_sorted():
    table = load_genes()
    assert len(table.symbols) > 40_000
    assert table.symbols == sorted(table.symbols)
    assert harmonise(table.symbols) == table.symbols


@pytest.mark.parametrize(
    ("name", "symbol", "kind"),
    [
        ("MS4A1", "MS4A1", "symbol"),
        ("CD20", "MS4A1", "alias"),
        ("GNB2L1", "RACK1", "alias"),
        ("HIST1H2AC", "H2AC6", "alias"),
        ("MARCH1", "MARCHF1", "alias"),
        ("ENSG00000156738", "MS4A1", "ensembl"),
        ("ENSG00000156738.17", "MS4A1", "ensembl"),
        ("ensg00000156738", "MS4A1", "ensembl"),
        ("GRCh38_MS4A1", "MS4A1", "symbol"),
        ("hg19_CD20", "MS4A1", "alias"),
        ("HLA.A", "HLA-A", "alias"),
        ("NKX6.1", "NKX6-1", "alias"),
        ("KRTAP10.9", "KRTAP10-9", "alias"),
        ("C1ORF112", "FIRRM", "alias"),
    ],
)
def test_lookup_of_every_kind(name, symbol, kind):
    assert load_genes().lookup(name) == (symbol, kind)


@pytest.mark.parametrize(
    "name", ["Cd3e", "Ms4a1", "ENSMUSG00000024673", "ENSG99999999999", "nonsense", "", "3", "1-Mar"]
)
def test_what_is_no_human_gene_is_none(name):
    assert load_genes().lookup(name) is None
    assert harmonise([name]) == [None]


def test_alias_never_shadows_an_approved_symbol():
    table = load_genes()
    assert not set(table.alias) & set(table.symbols)
    assert set(table.alias.values()) <= set(table.symbols)


def test_no_name_of_another_species_passes_as_alias():
    table = load_genes()
    mouse = [symbol.capitalize() for symbol in table.symbols if symbol.isalnum() and symbol.capitalize() not in table]
    passed = [name for name in mouse if table.lookup(name)]
    assert len(passed) <= 0.001 * len(mouse), passed[:10]


def test_dots_of_r_never_lead_to_another_gene():
    dotted = {symbol.replace("-", "."): symbol for symbol in load_genes().symbols if "-" in symbol}
    assert harmonise(dotted) == list(dotted.values())


def test_order_and_length_are_kept():
    assert harmonise(["x?", "CD3E", "x?", "CD20"]) == [None, "CD3E", None, "MS4A1"]


def test_genes_need_no_heavy_package():
    code = (
        "import sys; from scbioverse.knowledge.genes import load_genes; load_genes();"
        "print([m for m in ('torch', 'pandas', 'scipy', 'transformers') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
