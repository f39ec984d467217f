"""Names that join types have each of them as a part; names that only look so have none."""

from __future__ import annotations

import pytest

from scbioverse.knowledge import resolve_label, resolve_labels

B, T, NK, PLASMA, MONO, DC = "CL:0000236", "CL:0000084", "CL:0000623", "CL:0000786", "CL:0000576", "CL:0000451"


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        *(
            (name, (B, PLASMA))
            for name in ("B/Plasma", "B and plasma cells", "B & plasma", "1: B/Plasma", "B + plasma")
        ),
        *((name, (T, NK)) for name in ("T/NK", "T and NK cells", "T or NK", "T & NK cells", "T/NK_Cells")),
        *((name, (MONO, DC)) for name in ("Mono/DC", "Monocytes and DCs")),
        ("B, T and NK cells", (B, T, NK)),
        ("CD4 and CD8 T cells", ("CL:0000624", "CL:0000625")),
        ("Endo/Peri", ("CL:0000115", "CL:0000669")),
    ],
)
def test_each_part_of_a_name_that_joins_types(name: str, parts: tuple[str, ...]) -> None:
    assert resolve_label(name).parts == parts
    assert resolve_labels([name, "platelet", "erythrocyte"])[0].parts == parts


@pytest.mark.parametrize(
    ("name", "cl_id"),
    [
        ("natural killer T", "CL:0000814"),
        ("T/B doublet", None),
        ("CD14+/CD16+ monocyte", "CL:0002397"),
        ("L2/3 IT", "CL:4030059"),
        ("ILC1/3", "CL:0001065"),
        ("CD4+T", "CL:0000624"),
        ("HSC/MPP", "CL:0000837"),
        ("granulocyte/monocyte progenitor", "CL:0000557"),
        ("gamma/delta T", "CL:0000798"),
        ("NK/ILC", "CL:0001065"),  # one holds the other
        ("fibro/adipogenic progenitor cell", "CL:0009099"),
    ],
)
def test_names_of_one_type_stay(name: str, cl_id: str | None) -> None:
    assert (resolve_label(name).cl_id, resolve_label(name).parts) == (cl_id, ())


def test_none_of_two_types_is_taken_for_a_third() -> None:
    found = resolve_labels(["T and NK cells", "Monocytes and DCs", "B"])
    assert [one.term_label for one in found] == ["lymphocyte", "mononuclear phagocyte", "B cell"]


def test_other_names_say_what_a_short_name_is_as_a_whole() -> None:
    kidney = ["PT", "TAL", "Podocyte", "DCT"]
    assert resolve_labels(["PC/IC", *kidney])[0].parts == ()
