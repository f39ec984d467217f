"""Stage 2: the language model learns to answer questions about soft tokens, by a low-rank adapter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from .._device import autocast
from ..errors import InputError
from ..llm._loading import cpu_has_bfloat16
from ..llm.adapter import Adapter, AdapterConfig, set_dropout, trained_adapter, training_twin
from ..llm.prefix import PrefixCache, suffix_hidden
from ..llm.prompts import QuestionTemplate
from ..nn import Composer
from .autoregressive import answer_losses
from .tasks import Task, parts_of_like_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models.bioverse import BioVerse
    from .tasks import Batch

Prompt = Literal["question", "label"]


@dataclass(frozen=True)
class Instruction:
    """One question with its answer, and where both come from."""

    task: str  # kind of question, by which weights are given
    question: str  # unused where `prompt` is "label"
    answer: str
    source: str  # what the answer rests on, such as "CL:0000236/definition"
    objects: tuple[tuple[str, int, str], ...] = ()  # modality, row in its embeddings, and name of each
    evidence: str = ""  # what was measured, in words
    prompt: Prompt = "question"  # that of `tl.ask`, or of `tl.annotate`


class Example(NamedTuple):
    """An instruction as ids, behind the beginning that all of its prompt share; the answer alone is learned."""

    ids: list[int]
    start: int  # where the answer begins; its end token comes last


@dataclass(frozen=True, eq=False)
class Lessons:
    """Instructions, and the embeddings they speak of."""

    examples: Sequence[Instruction]
    embeddings: Mapping[str, NDArray[np.float32]]  # by modality, float32 (n, n_tokens, dim) or (n, dim)

    def __post_init__(self) -> None:
        if not self.examples:
            raise InputError("there are no instructions to learn from.")

    @property
    def tasks(self) -> list[str]:
        """Kinds of questions, sorted."""
        return sorted({one.task for one in self.examples})

    @property
    def modalities(self) -> list[str]:
        """Modalities that some instruction reads, sorted."""
        return sorted({modality for one in self.examples for modality, _, _ in one.objects})


class InstructionSampler:
    """Draws instructions: first the task by its weight (1 if not named), then one of the task's examples."""

    def __init__(self, lessons: Lessons, *, weights: Mapping[str, float] | None = None, batch_size: int = 16) -> None:
        weights = dict(weights or {})
        unknown = sorted(set(weights) - set(lessons.tasks))
        if unknown or any(value < 0 for value in weights.values()):
            raise InputError(f"weights must be ≥ 0 for tasks among {lessons.tasks}, found {weights}.")
        self.lessons, self.batch_size = lessons, batch_size
        self._rows = {
            task: np.flatnonzero([one.task == task for one in lessons.examples])
            for task in lessons.tasks
            if weights.get(task, 1.0) > 0
        }
        if not self._rows:
            raise InputError("all tasks have weight 0.")
        share = np.array([weights.get(task, 1.0) for task in self._rows], dtype=np.float64)
        self._share = share / share.sum()

    def __call__(self, rng: np.random.Generator) -> Batch:
        """Draw one batch."""
        tasks = list(self._rows)
        drawn = [self._rows[tasks[i]] for i in rng.choice(len(tasks), size=self.batch_size, p=self._share)]
        rows = np.array([part[rng.integers(part.size)] for part in drawn], dtype=np.int64)
        texts = [self.lessons.examples[row].answer for row in rows]
        return cast("Batch", {"texts": texts, "groups": rows, "examples": rows})


class InstructionTask(Task):
    """Cross-entropy of the answers' tokens; an adapter learns, and the projectors where asked.

    The beginning of the prompt is run once a step, with its gradient: the adapter changes its keys and values, so none
    computed earlier would hold. The rows behind it are short and laid side by side. The model's language model is
    copied to train in and stays as it is; with `train_projector`, projectors of the modalities read, end markers and
    task token are trained in place. The adapter begins from `start`, or from no change with a random half of that
    `seed`.

    The loss is the mean over rows of the mean over answer tokens.
    """

    def __init__(
        self,
        model: BioVerse,
        lessons: Lessons,
        config: AdapterConfig,
        *,
        train_projector: bool = True,
        template: QuestionTemplate | None = None,
        start: Adapter | None = None,
        seed: int = 0,
    ) -> None:
        self.model, self.lessons, self.config, self.train_projector = model, lessons, config, train_projector
        self.template = template or QuestionTemplate()
        for modality in lessons.modalities:
            model.check_modality(modality)
        self.backbone, self.params = training_twin(model.backbone, config, start=start, seed=seed)
        self.composer = Composer(self.backbone.embed_tokens, model.tokens)
        self._rendered: dict[int, Example] = {}

    def adapter(self) -> Adapter:
        """Return the adapter as it is now."""
        return trained_adapter(self.config, self.params)

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Parameters of the adapter, and of projectors and tokens where they are trained."""
        yield from ((f"adapter.{name}", param) for name, param in self.params.items())
        if self.train_projector:
            found = dict(pair for one in self.lessons.modalities for pair in self.model.trainable(one, shared=False))
            yield from found.items()

    def train(self, mode: bool) -> None:
        """Switch dropout of the adapter and of trained projectors."""
        set_dropout(self.backbone, mode)
        self.model.modules.train(mode and self.train_projector)

    def split(self, batch: Batch, size: int) -> list[tuple[Batch, float]]:
        """Parts of at most `size` rows of like length."""
        lengths = [len(self.render(row).ids) for row in batch["examples"].tolist()]
        return parts_of_like_length(batch, lengths, size)

    def render(self, row: int) -> Example:
        """Ids of an instruction behind its prompt's beginning, and where its answer begins."""
        if row not in self._rendered:
            one = self.lessons.examples[row]
            if one.prompt == "label":
                head: Sequence[int] = self.model.reader.prompt(one.objects[0][0]).head
                answer = self.model.reader.answer_ids(one.answer)
            else:
                objects = [(modality, name) for modality, _, name in one.objects]
                asked, n_soft = [(one.question, one.evidence)], self.model.config.n_soft
                (head,) = self.template.render(self.backbone, self.model.tokens, asked, n_soft=n_soft, objects=objects)
                (answer,) = self.template.encode_answers(self.backbone, [one.answer])
            self._rendered[row] = Example([*head, *answer], len(head))
        return self._rendered[row]

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        """Return `loss` and, by task, `loss_<task>`."""
        rows = batch["examples"].tolist()
        by_prompt: dict[tuple[str, str], list[int]] = {}
        for at, row in enumerate(rows):
            one = self.lessons.examples[row]
            key = (one.prompt, one.objects[0][0] if one.prompt == "label" else "")
            by_prompt.setdefault(key, []).append(at)
        losses: list[Tensor] = []
        order: list[int] = []
        device = self.backbone.device
        slow = device.type == "cpu" and not cpu_has_bfloat16()
        with autocast(device, torch.float32 if slow else torch.bfloat16):
            for (prompt, modality), places in sorted(by_prompt.items()):
                losses.append(self._losses([rows[at] for at in places], prompt, modality))
                order += places
        each = torch.cat(losses)
        out = {"loss": each.mean()}
        tasks = [self.lessons.examples[rows[at]].task for at in order]
        for task in sorted(set(tasks)):
            out[f"loss_{task}"] = each[[i for i, one in enumerate(tasks) if one == task]].detach().mean()
        return out

    def beginning(self, prompt: str, modality: str) -> Sequence[int]:
        """Ids that all rows of a prompt have in common."""
        label = prompt == "label"
        return self.model.reader.prompt(modality).prefix if label else self.template.prefix_ids(self.backbone)

    def read(self, rows: list[int], ids: list[list[int]], beginning: Sequence[int]) -> Tensor:
        """Hidden states (n, T, d_llm) of `ids` behind a beginning, with the soft tokens of the instructions `rows`."""
        start = self.composer.compose([list(beginning)]).inputs_embeds
        prefix = PrefixCache(self.backbone, start, learns=True)
        batch = self.composer.compose(ids, self._soft(rows))
        # Tried out as it was published: dropout in the adapter would make any two passes differ.
        tried = self.model.backbone
        return suffix_hidden(self.backbone, prefix, batch.inputs_embeds, batch.attention_mask, tried=tried)

    def _losses(self, rows: list[int], prompt: str, modality: str) -> Tensor:
        """Mean cross-entropy of each row's answer, (n,) float32."""
        rendered = list(map(self.render, rows))
        hidden = self.read(rows, [one.ids for one in rendered], self.beginning(prompt, modality))
        answers = [one.ids[one.start :] for one in rendered]
        return answer_losses(self.backbone, hidden, answers, [one.start for one in rendered])

    def _soft(self, rows: list[int]) -> dict[str, list[Tensor | None]]:
        """Soft tokens by modality: for each row those of its objects, or None."""
        out: dict[str, list[Tensor | None]] = {}
        for modality in self.lessons.modalities:
            wanted = [[at for name, at, _ in self.lessons.examples[row].objects if name == modality] for row in rows]
            flat = [at for each in wanted for at in each]
            values = np.asarray(self.lessons.embeddings[modality], dtype=np.float32)[flat]
            with torch.set_grad_enabled(self.train_projector and torch.is_grad_enabled()):
                soft = self.model.project(values, modality)
            # An object has `n_soft` rows; a row of the batch may have several objects, or none.
            out[modality] = list(soft.split([len(each) for each in wanted]))
        return out
