from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch

from scbioverse._errors import InputError
from scbioverse.llm.prompts import PromptTemplate, clean_text, encode_plain, render_example
from scbioverse.nn import BioTokens, answer_positions

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


def test_chat_prompt(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    prompt = PromptTemplate(system="S.", instruction="Name this {modality}.", question="Type:").render_annotate(
        tiny_backbone, tokens, n_soft=2
    )
    assert text_of(tiny_backbone, tokens, prompt.prefix_ids) == (
        "<|im_start|>system\nS.<|im_end|>\n<|im_start|>user\nName this cell.<|im_end|>\n<|im_start|>assistant\n<cell>"
    )
    assert text_of(tiny_backbone, tokens, prompt.suffix_head_ids) == "<cell:soft><cell:soft></cell><task> Type:"
    assert prompt.answer_start == len(prompt.prefix_ids) + len(prompt.suffix_head_ids)
    # The chat markers are the tokenizer's special tokens, not spelled out.
    assert prompt.prefix_ids[0] == tiny_backbone.tokenizer.convert_tokens_to_ids("<|im_start|>")


def test_plain_prompt_with_bos(tiny_backbone_untied: Backbone, tokens: BioTokens) -> None:
    template = PromptTemplate(system="S.", instruction="Name this {modality}.")
    prompt = template.render_annotate(tiny_backbone_untied, tokens, "protein", n_soft=1)
    assert text_of(tiny_backbone_untied, tokens, prompt.prefix_ids) == "<s>S.\nName this protein.\n<protein>"
    assert prompt.prefix_ids.count(tiny_backbone_untied.bos_ids[0]) == 1


def test_a_template_that_writes_bos_itself_gets_one(tiny_backbone_untied: Backbone, tokens: BioTokens) -> None:
    tiny_backbone_untied.tokenizer.chat_template = (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    )
    prompt = PromptTemplate(system="S.", instruction="Q").render_annotate(tiny_backbone_untied, tokens, n_soft=1)
    assert text_of(tiny_backbone_untied, tokens, prompt.prefix_ids) == "<s>[system]S.[user]Q<cell>"


@pytest.mark.parametrize(
    "chat",
    [
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}"
        "[{{ m['content'] }}]{% endfor %}",
        "{% for m in messages %}{% if m['role'] != 'system' %}[{{ m['content'] }}]{% endif %}{% endfor %}",
    ],
)
def test_a_template_without_system_messages(tiny_backbone: Backbone, tokens: BioTokens, chat: str) -> None:
    tiny_backbone.tokenizer.chat_template = chat
    prompt = PromptTemplate(system="S.", instruction="Q").render_annotate(tiny_backbone, tokens, n_soft=1)
    assert text_of(tiny_backbone, tokens, prompt.prefix_ids) == "[S.\n\nQ]<cell>"


def test_several_modalities_in_one_prompt(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    prompt = PromptTemplate().render_annotate(tiny_backbone, tokens, ["cell", "protein", "cell"], n_soft=1)
    assert text_of(tiny_backbone, tokens, prompt.prefix_ids).endswith("<cell>")
    assert "cell and protein" in text_of(tiny_backbone, tokens, prompt.prefix_ids)
    assert text_of(tiny_backbone, tokens, prompt.suffix_head_ids) == (
        "<cell:soft></cell><protein><protein:soft></protein><cell><cell:soft></cell><task>"
    )


def test_the_default_suffix_is_short(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    assert len(PromptTemplate().render_annotate(tiny_backbone, tokens, n_soft=4).suffix_head_ids) == 6


def test_without_system_and_task(tiny_backbone: Backbone) -> None:
    tokens = BioTokens(["cell"], 8, task_token=False)
    prompt = PromptTemplate(system="", instruction="Q").render_annotate(tiny_backbone, tokens, n_soft=1)
    assert "system" not in text_of(tiny_backbone, tokens, prompt.prefix_ids)
    assert prompt.suffix_head_ids == (tokens.placeholder("cell"), tokens.end_id("cell"))


def test_hash_tells_templates_apart() -> None:
    default = PromptTemplate()
    assert default.template_hash() == PromptTemplate().template_hash()
    assert len(default.template_hash()) == 64
    for field in dataclasses.fields(PromptTemplate):
        assert dataclasses.replace(default, **{field.name: "other"}).template_hash() != default.template_hash()


def test_answer_ends_with_the_end_token(tiny_backbone: Backbone) -> None:
    template = PromptTemplate()
    short, long = (template.encode_answer(tiny_backbone, text) for text in ("T cell", "T cell, CD4"))
    assert short[-1] == long[-1] == tiny_backbone.eos_id
    assert short[:-1] == long[: len(short) - 1]
    assert tiny_backbone.decode(short) == " T cell"


def test_example_learns_the_answer_and_nothing_else(tiny_backbone: Backbone, tokens: BioTokens) -> None:
    template = PromptTemplate(question="Type:")
    prompt = template.render_annotate(tiny_backbone, tokens, n_soft=3)
    answer = template.encode_answer(tiny_backbone, "B cell")
    example = render_example(prompt, answer)
    assert example.ids == [*prompt.suffix_head_ids, *answer]
    assert example.labels == [-100] * len(prompt.suffix_head_ids) + answer
    _, at, token = answer_positions(torch.tensor([example.labels]))
    assert int(at[0]) == len(prompt.suffix_head_ids) - 1
    assert token[-1] == tiny_backbone.eos_id
    with pytest.raises(InputError, match="end token"):
        render_example(prompt, [])


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
    with pytest.raises(InputError, match="n_soft=0"):
        PromptTemplate().render_annotate(tiny_backbone, tokens, n_soft=0)
    with pytest.raises(InputError, match="needs a modality"):
        PromptTemplate().render_annotate(tiny_backbone, tokens, [], n_soft=1)
    with pytest.raises(InputError, match="molecule"):
        PromptTemplate().render_annotate(tiny_backbone, tokens, "molecule", n_soft=1)
