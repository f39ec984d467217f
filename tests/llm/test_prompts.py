from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import pytest

from scbioverse.errors import InputError
from scbioverse.llm.prompts import PromptTemplate, clean_text, encode_plain
from scbioverse.nn import BioTokens

if TYPE_CHECKING:
    from scbioverse.llm.backbone import Backbone


@pytest.fixture
def tokens() -> BioTokens:
    return BioTokens(["cell", "protein"], 32)


def text_of(backbone: Backbone, tokens: BioTokens, ids: tuple[int, ...]) -> str:
    """The prompt as a reader would see it."""
    parts, run = [], []
    for token in ids:
        if token >= 0:
            run.append(token)
            continue
        parts += [backbone.decode(run, skip_special=False), tokens.name(token)]
        run = []
    return "".join([*parts, backbone.decode(run, skip_special=False)])


WORDING = PromptTemplate(
    instruction="Name this {modality}.",
    examples=("cup", "red bus"),
    before="The term",
    after="simply",
    last="means",
)


@pytest.mark.parametrize(("fixture", "bos"), [("tiny_backbone", ""), ("tiny_backbone_untied", "<s>")])
def test_prompt(fixture: str, bos: str, tokens: BioTokens, request: pytest.FixtureRequest) -> None:
    backbone = request.getfixturevalue(fixture)
    prompt = dataclasses.replace(WORDING, question=" Type: ").render_annotate(backbone, tokens, "protein", n_soft=2)
    assert text_of(backbone, tokens, prompt.prefix) == (
        f"{bos}Name this protein.\nThe term cup simply means cup\nThe term red bus simply means red bus\nThe<protein>"
    )
    wanted = "<protein:soft><protein:soft><task> Type:"
    assert text_of(backbone, tokens, prompt.head) == wanted


def test_markers_stand_for_the_words_of_the_examples(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    start, end, task = WORDING.marker_words()
    assert end == " simply"
    prompt = WORDING.render_annotate(tiny_backbone, tokens, n_soft=1)
    read = text_of(tiny_backbone, tokens, prompt.prefix + prompt.head)
    line = read.splitlines()[-1].replace("<cell>", start).replace("<task>", task)
    assert line.replace("<cell:soft>", " cup") == "The term cup means"


def test_the_default_suffix_is_short(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    assert len(PromptTemplate().render_annotate(tiny_backbone, tokens, n_soft=2).head) == 3


def test_of_one_object_the_task_token_follows_the_last_soft_token(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    wording = dataclasses.replace(WORDING, after="")
    prompt = wording.render_annotate(tiny_backbone, tokens, n_soft=2)
    assert text_of(tiny_backbone, tokens, prompt.head) == "<cell:soft><cell:soft><task>"
    assert "The term cup means cup\n" in text_of(tiny_backbone, tokens, prompt.prefix)


def test_special_tokens_in_the_wording_stay_text(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    wording = dataclasses.replace(WORDING, instruction="A <|im_end|> b", question="c <|im_end|>")
    prompt = wording.render_annotate(tiny_backbone, tokens, n_soft=1)
    assert set(prompt.prefix + prompt.head).isdisjoint(tiny_backbone.tokenizer.all_special_ids)


def test_hash_tells_templates_apart() -> None:
    default = PromptTemplate()
    assert default.template_hash() == PromptTemplate().template_hash()
    assert len(default.template_hash()) == 64
    for field in dataclasses.fields(PromptTemplate):
        other = {"examples": ("other",)}.get(field.name, "other")
        assert dataclasses.replace(default, **{field.name: other}).template_hash() != default.template_hash()
    again = PromptTemplate(**json.loads(json.dumps(dataclasses.asdict(default))))
    assert again == default
    assert again.template_hash() == default.template_hash()


def test_answer_ends_with_the_end_token(tiny_backbone: Backbone) -> None:
    template = PromptTemplate()
    short, long = (template.encode_answer(tiny_backbone, text) for text in ("T cell", "T cell, CD4"))
    assert short[-1] == long[-1] == tiny_backbone.eos_id
    assert short[:-1] == long[: len(short) - 1]
    assert tiny_backbone.decode(short) == " T cell"


@pytest.mark.parametrize("fixture", ["tiny_backbone", "tiny_backbone_untied"])
def test_special_tokens_in_labels_stay_text(fixture: str, request: pytest.FixtureRequest) -> None:
    backbone = request.getfixturevalue(fixture)
    for special in backbone.tokenizer.all_special_tokens:
        ids = PromptTemplate().encode_answer(backbone, f"T cell{special}{special} B cell")
        assert set(ids[:-1]).isdisjoint(backbone.tokenizer.all_special_ids)
        assert ids[-1] == backbone.eos_id


def test_a_tokenizer_that_cannot_split_special_tokens(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tiny_backbone.encode
    monkeypatch.setattr(tiny_backbone, "encode", lambda text, **_: whole(text))
    ids = encode_plain(tiny_backbone, " T<|im_end|> cell")
    assert tiny_backbone.decode(ids, skip_special=False) == " T< |im_end|> cell"
    monkeypatch.setattr(tiny_backbone, "encode", lambda text, **_: [tiny_backbone.eos_id])
    with pytest.raises(InputError, match="reads as special tokens"):
        encode_plain(tiny_backbone, "x")


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("  CD4\tT \n cell ", "CD4 T cell"),
        ("T\x00 ce\x1bll\x7f", "T cell"),
        ("zero\u200bwidth\u202e\ufeff", "zerowidth"),
        ("Schwann\u2028cell", "Schwann cell"),
        ("Mu\u0308ller glia", "Müller glia"),
        ("γδ T", "γδ T"),
    ],
)
def test_clean_text(text: str, clean: str) -> None:
    assert clean_text(text) == clean


def test_text_is_never_cut() -> None:
    assert len(clean_text("x" * 200)) == 200
    with pytest.raises(InputError, match="has 201 characters; at most 200"):
        clean_text("x" * 201)
    assert len(clean_text("x" * 201, max_chars=500)) == 201


@pytest.mark.parametrize("text", ["", "  ", "\n\t", "\u200b"])
def test_empty_text_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no readable character"):
        clean_text(text)


def test_wrong_prompts_are_refused(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    with pytest.raises(KeyError, match="molecule"):
        PromptTemplate().render_annotate(tiny_backbone, tokens, "molecule", n_soft=1)
