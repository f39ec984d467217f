"""What words say of each other, settled before a reader sees them; and openings that say nothing of the data."""

from __future__ import annotations

import pytest

import scbioverse as sb
from benchmarks.ask import made


@pytest.fixture(scope="module")
def cells():
    adata = sb.datasets.pbmc3k()
    adata = adata[adata.obs["cell_type"].astype(str) != "unassigned"].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).astype("category")
    adata.obs["condition"] = (["ctrl", "stim"] * adata.n_obs)[: adata.n_obs]
    return adata


def _of(adata, text):
    return sb.tl.ask(adata, text, groupby="cell_type", reader="rules")


def _assert_read_alike(adata, text, alike):
    answer, plain = _of(adata, text), _of(adata, alike)
    assert plain.computed, plain.text
    assert answer.computed, answer.text
    assert answer.query == plain.query or answer.value == plain.value


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("How many cells have GZMK on and GZMB off?", "How many cells express GZMK but not GZMB?"),
        ("What share of NK cells have GZMK on but GZMB off?", "What share of NK cells express GZMK but not GZMB?"),
        ("How many cells express CD14 or LYZ?", "How many cells have any expression of CD14 or of LYZ?"),
        ("Do any cells express CD3D, LYZ and PPBP, all three?", "Are there cells with CD3D, LYZ and PPBP?"),
        ("Can you find even one cell with CD3D and LYZ?", "Are there cells with CD3D and LYZ?"),
        ("stim B cells as a percentage of B cells", "What percentage of B cells are stim?"),
        ("GZMB off, GZMK on: how many cells?", "How many cells express GZMK but not GZMB?"),
        ("CD4 T cells versus CD8 T cells, what is the ratio by cell number?", "Ratio of CD4 T cells to CD8 T cells"),
        ("Break the B cells down by condition and count them.", "How many B cells per condition?"),
        ("How many cells came from every condition?", "How many cells per condition?"),
        ("Is FOXP3 one of the genes in this data set?", "Is FOXP3 among the genes?"),
        ("Can I find the gene FOXP3 in these data?", "Is FOXP3 among the genes?"),
        ("Do we have FOXP3 among the measured genes?", "Is FOXP3 among the genes?"),
        ("How many different genes does this data set cover?", "How many genes were measured?"),
        ("What is the total count of genes measured here?", "How many genes were measured?"),
        ("NK cells form which cell type?", "Which cell type is NK cells?"),
        ("How many cells are there where LYZ is greater than 3?", "How many cells have LYZ above 3?"),
        ("For how many cells do CD3D and LYZ all stay undetected?", "How many cells express neither CD3D nor LYZ?"),
        ("CD4 T cells, naive and memory alike: how many are there?", "How many CD4 T cells are there?"),
        ("Condition count?", "How many conditions are there?"),
        ("How many B cells has ctrl, and how many has stim?", "How many B cells are in ctrl and in stim?"),
        ("Put the B cell numbers of ctrl and stim side by side.", "Compare the B cell numbers of ctrl and stim."),
        ("Take away all T cells and count what is left.", "How many cells are not T cells?"),
        ("Name the cell type ranked 2nd by cell count.", "Which cell type is second by number of cells?"),
        ("Out of every hundred B cells, how many express LYZ?", "What percentage of B cells express LYZ?"),
    ],
)
def test_what_says_the_same_is_read_alike(cells, text, alike):
    _assert_read_alike(cells, text, alike)


@pytest.mark.parametrize(
    "text",
    [
        "How many cells have both GZMK and GZMB off?",  # neither, or not both
        "Do any cells express CD3D and LYZ, all three?",
        "T cells, naive and memory: how many are there?",  # CD8 T cells are T cells, too
        "Smokers have how many T cells?",
        "Smokers account for what share of the cells?",
        "Are B cells down in stim?",
    ],
)
def test_what_may_say_something_else_is_refused(cells, text):
    assert not _of(cells, text).computed


@pytest.mark.parametrize(
    "opening", ["My boss keeps asking me", "Tonight I have to be able to explain", "It would delight my aunt to hear"]
)
def test_an_opening_is_passed_over_and_told(cells, opening):
    plain = _of(cells, "How many B cells express LYZ?")
    answer = _of(cells, f"{opening} how many B cells express LYZ?")
    assert answer.computed, answer.text
    assert answer.value == plain.value
    assert f"Read without {opening!r}." in answer.text


@pytest.mark.parametrize(
    "text",
    [
        "After thawing I wonder how many B cells there are.",
        "The dead cells make me ask how many B cells there are.",
        "Without donors that smoke, tell me how many B cells there are.",
        "My smokers report how many B cells?",
        "Smokers know how many B cells?",
        "Expected number of B cells?",
    ],
)
def test_an_opening_that_may_say_of_which_cells_is_refused(cells, text):
    answer = _of(cells, text)
    assert not answer.computed, answer.text


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        ("Don't B cells express CD3D?", "Do B cells express CD3D?"),
        ("Aren't there any B cells?", "Are there any B cells?"),
        ("Do B cells ever express CD3D?", "Are there B cells that express CD3D?"),
        ("Which condition has more NK cells, stim or ctrl?", "Which of stim and ctrl has more NK cells?"),
        ("How many groups does condition have?", "How many conditions are there?"),
        ("How many cells have LYZ at 3 upwards?", "How many cells have LYZ of at least 3?"),
        ("How many cells have up to but not including 3 LYZ?", "How many cells have LYZ below 3?"),
        ("How many B cells but for stim are there?", "How many B cells are not in stim?"),
        ("Which cell type is the smallest but one?", "Which cell type is the second smallest?"),
        ("Group the cells by cell type and count them.", "How many cells per cell type?"),
    ],
)
def test_what_turns_a_question_round_is_read_so(cells, text, alike):
    _assert_read_alike(cells, text, alike)


@pytest.mark.parametrize(
    "text",
    [
        "Are platelets never in stim?",
        "Are only B cells in stim?",
        "Do only B cells express CD79A?",
        "Is CD79A expressed by B cells only?",
        "Do T cells and B cells express CD3D?",
        "Is LYZ higher in NK cells than in B cells and DCs?",
        "How many T cells are single positive for CD4 and CD8A?",
        "What is the mean LYZ among expressing cells?",
        "What is the mean LYZ in positive cells?",
        "How much LYZ is there altogether?",
        "What share of LYZ counts come from monocytes?",
        "What percentage more B cells are in stim than in ctrl?",
        "What share do the B cells in stim have of all cells?",
        "Which cell type is most common after T cells?",
        "What are the most common cell types but T cells?",
        "Which gene is on in all B cells?",
        "Which gene is expressed in most B cells?",
        "How many genes are there per cell?",
        "How many genes do all cells express?",
        "How many cells express all genes?",
        "How many genes and cells are there?",
        "What is the mean cell type?",
        "In total and per condition, how many B cells are there?",
        "T cells, ctrl or stim: how many?",
        "How many B cells are in a row?",
        "How many NK cells are next to a B cell?",
    ],
)
def test_what_may_be_of_each_or_of_all_of_some_cells_or_all_is_refused(cells, text):
    answer = _of(cells, text)
    assert not answer.computed, answer.text


@pytest.mark.parametrize(
    "text",
    [
        "How many cells have a mitochondrial fraction of at least 0.02?",
        "How many cells have more than 50 mitochondrial counts?",
        "What is the mean mitochondrial count?",
        "What is the average leiden?",
        "What is the average cluster size?",
    ],
)
def test_counts_are_no_per_cent_and_codes_no_numbers(text):
    assert not sb.Chat(made("cells")[0], groupby="leiden", reader="rules").ask(text).computed


def test_per_cent_are(cells):
    talk = sb.Chat(made("cells")[0], groupby="leiden", reader="rules")
    assert talk.ask("How many cells have a mitochondrial fraction above 2 %?").computed
