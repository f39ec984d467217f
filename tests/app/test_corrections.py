from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from scbioverse.app.shown import Shown
from scbioverse.app.visitor import Corrections, Visitor
from scbioverse.errors import InputError


def chosen(n: int, *rows: int) -> np.ndarray:
    mask = np.zeros(n, dtype=bool)
    mask[list(rows)] = True
    return mask


def test_undo_and_redo_lead_through_all_states() -> None:
    done = Corrections(pd.Series(["a", "b", None, "b"]))
    assert done.set(chosen(4, 0, 1), "b") == 1  # the second has it already
    assert done.set(chosen(4, 2), "new") == 1
    assert done.labels().tolist() == ["b", "b", "new", "b"]
    assert done.changed.tolist() == [True, False, True, False]
    assert (done.undo(), done.undo(), done.undo()) == (1, 1, 0)
    assert pd.isna(done.labels()[2])
    assert done.labels().tolist()[:2] == ["a", "b"]
    assert "new" not in done.labels().categories  # nobody has it any more
    assert (done.redo(), done.redo(), done.redo()) == (1, 1, 0)
    done.undo()
    done.set(chosen(4, 3), "c")
    assert done.redo() == 0  # what was taken back is gone after another correction
    assert done.labels().tolist()[:2] == ["b", "b"]
    assert done.history() == [{"label": "b", "n": 1}, {"label": "c", "n": 1}]


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "a\x00b", "a\u202eb"])
def test_a_label_is_readable_text(name: str) -> None:
    done = Corrections(pd.Series(["a", "b"]))
    with pytest.raises(InputError, match="readable characters"):
        done.set(chosen(2, 0), name)
    with pytest.raises(InputError, match="no cells are selected"):
        done.set(chosen(2), "c")
    assert done.n_done == 0


def test_what_was_computed_for_a_label_goes_with_it(shown: Shown) -> None:
    who, rows = Visitor(shown), (shown.labels == "B cell").to_numpy()
    before = shown.adata.obs.copy()
    who.corrections.set(rows, "NK cell")
    out = who.adata()
    assert (out.obs["bioverse_label"][rows] == "NK cell").all()
    assert out.obs["bioverse_confidence"][rows].isna().all()
    assert out.obs["bioverse_confidence"][~rows].equals(before["bioverse_confidence"][~rows])
    assert (out.obs["bioverse_cl_id"][rows] == "CL:0000623").all()
    assert out.obs["bioverse_rationale"][rows].str.startswith("Set by hand").all()
    assert out.obs["bioverse_label_before"].astype(str).equals(before["bioverse_label"].astype(str))
    assert out.obs["bioverse_label_corrected"].tolist() == rows.tolist()
    pd.testing.assert_frame_equal(shown.adata.obs, before)  # the data on the page are as they were
    assert out.X is shown.adata.X
    who.corrections.undo()
    pd.testing.assert_frame_equal(who.adata().obs, before)
    assert "correct" not in who.adata().uns["bioverse"]


def test_labels_of_the_user_keep_what_annotate_wrote(adata: AnnData) -> None:
    adata.obs["mine"] = adata.obs["cell_type"].astype(str)
    who = Visitor(Shown(adata, label_key="mine"))
    who.corrections.set(chosen(60, 0, 1, 2), "strange cell")
    out = who.adata()
    assert out.obs["bioverse_confidence"].equals(adata.obs["bioverse_confidence"])
    assert out.obs["mine"].tolist()[:3] == ["strange cell"] * 3
    assert out.obs["mine_corrected"].sum() == 3


def test_a_second_visit_to_the_file_keeps_the_first_labels(shown: Shown) -> None:
    first = Visitor(shown)
    first.corrections.set(chosen(60, 0), "NK cell")
    second = Visitor(Shown(first.adata()))
    second.corrections.set(chosen(60, 1), "odd cell")
    out = second.adata()
    assert out.obs["bioverse_label_before"].tolist() == shown.labels.tolist()
    assert out.obs["bioverse_label_corrected"].tolist()[:3] == [shown.labels.iloc[0] != "NK cell", True, False]
    steps = json.loads(out.uns["bioverse"]["correct"])["steps"]
    assert [one["label"] for one in steps] == ["NK cell", "odd cell"]


def test_columns_of_the_user_are_in_nobodys_way(adata: AnnData) -> None:
    adata.obs["bioverse_label_before"] = "mine"
    with pytest.raises(InputError, match="'bioverse_label_before' of yours"):
        Shown(adata)
    who = Visitor(Shown(adata, label_key="cell_type"))  # corrections of other labels have columns of their own
    who.corrections.set(chosen(60, 0), "odd cell")
    assert {"cell_type_before", "cell_type_corrected"} <= set(who.adata().obs)
    assert "correct_cell_type" in who.adata().uns["bioverse"]


def test_what_was_lifted_from_a_label_goes_with_it(adata: AnnData) -> None:
    adata.obs["bioverse_label_rollup"] = pd.Categorical(["leukocyte"] * 60)
    adata.obs["bioverse_label_rollup_cl_id"] = pd.Categorical(["CL:0000738"] * 60)
    who = Visitor(Shown(adata))
    rows = (adata.obs["bioverse_label"] != "NK cell").to_numpy()
    who.corrections.set(rows, "NK cell")
    for name in ("bioverse_label_rollup", "bioverse_label_rollup_cl_id"):
        assert who.adata().obs[name].isna().tolist() == rows.tolist()


def test_the_caller_may_go_on_with_the_data(adata: AnnData) -> None:
    page, before = Shown(adata), adata.obs.copy()
    who = Visitor(page)
    adata.obs["bioverse_confidence"] = np.float32(0)
    adata.obs["more"] = 1
    who.corrections.set(chosen(60, 0), "NK cell")
    out = who.adata()
    assert "more" not in out.obs
    assert out.obs["bioverse_confidence"][1:].equals(before["bioverse_confidence"][1:])


def test_visitors_do_not_see_one_another(shown: Shown) -> None:
    one, other = Visitor(shown), Visitor(shown)
    one.corrections.set(chosen(60, 0), "odd cell")
    assert other.adata().obs["bioverse_label"].tolist() == shown.labels.tolist()


def test_answers_are_about_the_corrected_labels(shown: Shown) -> None:
    who = Visitor(shown)
    n = int((shown.labels == "NK cell").sum())
    assert f"{n} of 60" in who.ask("How many NK cells are there?").text
    rows = (shown.labels == "B cell").to_numpy()
    who.corrections.set(rows, "NK cell")
    assert f"{n + rows.sum()} of 60" in who.ask("How many NK cells are there?").text
    assert f"Selected cells labelled NK cell: {rows.sum()} cells" in who.ask("How many NK cells are there?", rows).text
