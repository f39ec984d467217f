"""Readings of names that are kept as they were when the shipped model wrote down what it knows of the ontology.

Its texts and the weights of its markers follow from these readings. Rules have read the names better since; when a
checkpoint is made anew (`keep_ontology`), this file goes.
"""

# Names of published tables of markers, and the term they were taken for.
TABLE_ENTRIES: dict[str, str | None] = {
    "Atypical memory B cell": "CL:0000787",
    "CD4+ Proliferating T": "CL:0000896",
    "CD8+ Proliferating T": "CL:0000906",
    "Dividing T cell": "CL:0000084",
    "MKI67+ T cell": "CL:0000084",
    "Meiotic prophase fetal germ cell": "CL:0000586",
    "Mesenchymal-epithelial transitioning cell": "CL:0008019",
    "Mesendodermal cell": None,
    "Meyloid cell": None,
    "Neurogenic retinal progenitor cell": "CL:0011026",
    "Non-β endocrine cell": None,
    "Pancreas-Ductal cells": None,
    "Proliferative CD4+ T cell": "CL:0000896",
    "Proliferative CD8+ T cell": "CL:0000906",
    "Splenic Stromal Sheath Cell": "CL:0000618",
    "class switch MBC": None,
}
# A synonym that was taken for another term's name.
MISLEADING = ("CL:4023080", "stellate L6 IT MOp (Mus musculus)")
