"""A modality that is written of by phrases."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import scbioverse as sb
from scbioverse.errors import InputError, WeightsError
from scbioverse.llm.adapter import Adapter, AdapterConfig, training_twin
from scbioverse.models import BioVerse, join, load
from scbioverse.models.config import PhraseBook, PhraseGroup
from scbioverse.models.edit import only, set_phrases
from scbioverse.models.score import write_labels
from scbioverse.nn import PhraseHead

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.llm import Backbone

SPEECH = PhraseBook(
    (PhraseGroup("", ("a B cell", "a platelet")), PhraseGroup("; role: ", ("a helper", "a killer"), 2, 0.5)),
    8,
    "Note: a house\nText: It is a house.\nNote:",
    "\nText:",
)


@pytest.fixture
def head(points: np.ndarray) -> PhraseHead:
    """Says the first phrase of each group where the first entry is positive, else the second alone."""
    made = PhraseHead(8, 1, 4, 8)
    with torch.no_grad():
        for part in (made.inside, made.out):
            part.weight.zero_()
            part.bias.zero_()
        made.inside.weight[0, 0], made.inside.weight[1, 0] = 1.0, -1.0
        made.out.weight[0, 0] = made.out.weight[1, 1] = made.out.weight[2, 0] = 5.0
        made.out.bias[2], made.out.bias[3] = -0.01, -9.0
    return made.eval()


@pytest.fixture
def speaking(model: BioVerse, head: PhraseHead) -> BioVerse:
    set_phrases(model, "cell", SPEECH, head)
    return model


def random_adapter(backbone: Backbone) -> Adapter:
    config = AdapterConfig(rank=2)
    _, params = training_twin(backbone, config)
    rng = torch.Generator().manual_seed(0)
    return Adapter(config, {key: 3 * torch.randn(one.shape, generator=rng) for key, one in params.items()})


def test_notes_say_what_the_head_finds(speaking: BioVerse, points: np.ndarray) -> None:
    found = speaking.captioner("cell").notes(points)
    assert found == ["a B cell; role: a helper" if x > 0 else "a platelet" for x in points[:, 0]]
    assert found[:5] == speaking.captioner("cell").notes(points[:5, None])


def test_writing_depends_on_the_note_alone(speaking: BioVerse, points: np.ndarray) -> None:
    texts, log_probs = speaking.captioner("cell").write(points, max_new_tokens=6)
    again, _ = speaking.captioner("cell").write(points[::-1], max_new_tokens=6, batch_size=1)
    assert texts == again[::-1]
    assert len({(text, p) for text, p in zip(texts, log_probs.tolist(), strict=True)}) == 2
    assert not any("\n" in text for text in texts)


def test_questions_are_answered_from_the_note_alone(
    speaking: BioVerse, points: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = speaking.captioner("cell")
    asked: list[tuple[str, dict]] = []
    write, decode = captioner.text_writer.write, captioner.text_writer.reader.backbone.decode

    def noted(prompts, soft, **options):
        asked.extend((decode(prompt), one) for prompt, one in zip(prompts, soft, strict=True))
        return write(prompts, soft, **options)

    monkeypatch.setattr(captioner.text_writer, "write", noted)
    said = captioner.answer(points, "What does it do?", max_new_tokens=5)
    notes = captioner.notes(points)
    assert len({(note, answer) for note, answer in zip(notes, said, strict=True)}) == 2
    assert len(asked) == 2  # equal notes once, and no soft tokens
    assert all(soft == {} for _, soft in asked)
    assert {text.split("Note: ")[1].split("\n")[0] for text, _ in asked} == set(notes)
    assert all("Question: What does it do?" in text for text, _ in asked)
    assert "about this cell" in captioner.text_writer.template.instruction
    monkeypatch.undo()
    assert captioner.answer(points[::-1], "What does it do?", max_new_tokens=5, batch_size=1) == said[::-1]
    with pytest.raises(InputError, match="question"):
        captioner.answer(points, "\u200b")


def test_another_adapter_answers_anew(speaking: BioVerse, tiny_backbone: Backbone, points: np.ndarray) -> None:
    before = speaking.captioner("cell").answer(points, "What is it?", max_new_tokens=8)
    speaking.set_adapter(random_adapter(tiny_backbone))
    assert speaking.captioner("cell").answer(points, "What is it?", max_new_tokens=8) != before


def test_free_labels_are_written_by_phrases_and_candidates_are_not(model: BioVerse, points: np.ndarray) -> None:
    names = ["B cell", "platelet"]
    before = write_labels(model, points, names)
    plain = model.score(points, names, progress=False)
    coordinates = model.coordinates(points)
    head = PhraseHead(8, 1, 4, 8).eval()
    set_phrases(model, "cell", SPEECH, head)
    texts, _, which = write_labels(model, points, max_new_tokens=6)
    assert texts == model.captioner("cell").write(points, max_new_tokens=6)[0]
    assert (which == -1).all()
    assert write_labels(model, points, names)[0] == before[0]
    np.testing.assert_array_equal(model.score(points, names, progress=False), plain)
    np.testing.assert_array_equal(model.coordinates(points), coordinates)


def test_round_trip_with_an_adapter_of_its_own(
    speaking: BioVerse, tiny_backbone: Backbone, points: np.ndarray, tmp_path: Path
) -> None:
    without = speaking.fingerprint()
    plain, _ = speaking.captioner("cell").write(points, max_new_tokens=8)
    head = speaking.modules["phrases"]["cell"]  # type: ignore[index]
    set_phrases(speaking, "cell", SPEECH, head, random_adapter(tiny_backbone))
    assert speaking.fingerprint() != without
    assert speaking.adapter is None  # the others read as they did
    texts, _ = speaking.captioner("cell").write(points, max_new_tokens=8)
    assert texts != plain
    again = load(speaking.save(tmp_path / "m"), llm=tiny_backbone)
    assert again.config == speaking.config
    assert again.fingerprint() == speaking.fingerprint()
    assert again.captioner("cell").write(points, max_new_tokens=8)[0] == texts
    assert speaking.copy().captioner("cell").write(points, max_new_tokens=8)[0] == texts
    assert only(again, ["cell"]).fingerprint() == again.fingerprint()


def test_taken_away_again_leaves_the_model_as_it_was(model: BioVerse, head: PhraseHead) -> None:
    before = model.fingerprint()
    set_phrases(model, "cell", SPEECH, head)
    assert model.fingerprint() != before
    set_phrases(model, "cell", None)
    assert model.fingerprint() == before
    with pytest.raises(InputError, match="no phrases"):
        model.captioner("cell")


def test_joined_models_keep_their_speech(speaking: BioVerse, points: np.ndarray, tiny_backbone: Backbone) -> None:
    from scbioverse.models.edit import extend

    drugs = sb.datasets.toy_cells(n_obs=8, n_genes=40)
    drugs.obsm["X"] = points[:8, :4]
    encoder = sb.encoders.PrecomputedEncoder.from_adata(drugs, "X", modality="molecule")
    both = extend(speaking, encoder)
    assert both.captioner("cell").notes(points) == speaking.captioner("cell").notes(points)
    alone = only(both, ["molecule"])
    assert not alone.modules["phrases"]
    assert join(only(both, ["cell"]), alone).captioner("cell").notes(points) == speaking.captioner("cell").notes(points)


def test_phrases_lie_in_a_file_of_their_own(speaking: BioVerse, tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = speaking.save(tmp_path / "m")
    assert PhraseBook.read(folder / "phrases" / "cell.json") == SPEECH
    kept = load(folder, llm=tiny_backbone)
    assert (kept.phrase_books, kept.fingerprint()) == (speaking.phrase_books, speaking.fingerprint())
    (folder / "phrases" / "cell.json").write_text('{"groups": [], "hidden": 4}')
    with pytest.raises(WeightsError, match="truncated or was changed"):
        load(folder, llm=tiny_backbone)
    with pytest.raises(WeightsError, match="holds no phrases"):
        PhraseBook.read(folder / "phrases" / "cell.json")


@pytest.mark.parametrize(
    "wrong",
    [{"groups": []}, {"hidden": 0}, {"opening": " "}, {"longest": 0}, {"groups": [{"lead": "", "phrases": []}]}]
    + [{"groups": [{"lead": "", "phrases": ["a"], name: value}]} for name, value in (("most", 0), ("least", 1.5))],
)
def test_speech_that_cannot_be(tmp_path: Path, wrong: dict[str, object]) -> None:
    SPEECH.write(tmp_path / "cell.json")
    held = json.loads((tmp_path / "cell.json").read_text())
    (tmp_path / "cell.json").write_text(json.dumps(held | wrong))
    with pytest.raises(WeightsError, match=f"holds no phrases: {next(iter(wrong))}"):
        PhraseBook.read(tmp_path / "cell.json")


@pytest.mark.filterwarnings("ignore")
def test_a_model_trained_to_write_otherwise_does_so(speaking: BioVerse) -> None:
    cells = sb.datasets.toy_cells(n_obs=40, n_genes=200)
    aligned = sb.tl.align(
        cells, text_key="cell_type", model=speaking, start="model", loss="autoregressive", steps=1, rng=0
    )
    assert "cell" not in aligned.phrase_books
    assert speaking.phrase_books["cell"] == SPEECH
    contrastive = sb.tl.align(
        cells, text_key="cell_type", model=speaking, start="model", loss="contrastive", steps=1, rng=0
    )
    assert contrastive.phrase_books["cell"] == SPEECH
    tuned = sb.tl.tune(cells, text_key="cell_type", model=speaking, steps=1, batch_size=2, rng=0)
    assert "cell" not in tuned.phrase_books
