"""`backend="vllm"`: label scores by a vLLM engine, which reads prompts as embeddings.

The engine is told which tokens may follow and answers with their log-probabilities; each choice of the tree of labels
is one request. What prompts have in common is computed once by the engine's own prefix cache. Only scores are to be had
this way: training, the text space and hidden states need the model itself (`backend="hf"`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._optional import import_optional
from ..errors import InputError
from ._converted import converted_copy
from ._loading import DType, load_tokenizer
from ._tokens import TextSide
from ._vllm_checks import FAMILIES, check_prompt, family_of, read_answer, read_table
from .resolve import resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedTokenizerBase

    from .trie import LabelTrie

MOST_CHILDREN = 1024
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "auto": torch.bfloat16}


class VLLMBackbone(TextSide):
    """A language model inside a vLLM engine, with the part of a backbone that scoring labels needs.

    Parameters
    ----------
    engine
        A `vllm.LLM` started with `enable_prompt_embeds=True` and `logprobs_mode="processed_logprobs"`, or anything with
        its `generate(prompts, sampling_params)`.
    table
        Token embeddings (vocab, d_llm), in the engine's number type.
    tokenizer
        The tokenizer.
    name, sha256
        What it was loaded as; identity of its files.
    max_length
        Longest prompt that the engine takes.
    sampling
        Makes sampling parameters; `vllm.SamplingParams` if not given.
    """

    backend = "vllm"

    def __init__(
        self,
        engine: Any,
        table: Tensor,
        tokenizer: PreTrainedTokenizerBase,
        *,
        name: str,
        sha256: str,
        max_length: int,
        sampling: Any = None,
    ) -> None:
        super().__init__(tokenizer, name)
        self.engine, self.table, self.sha256, self.max_length = engine, table, sha256, max_length
        self._sampling = sampling
        self.d_llm = int(table.shape[1])
        self.embedding_norm = float(table.float().norm(dim=1).mean())

    @classmethod
    def load(cls, name_or_path: str, *, dtype: DType = "auto", **engine_options: Any) -> VLLMBackbone:
        """Start an engine for a language model; see :meth:`Backbone.load` for names.

        Parameters
        ----------
        name_or_path
            Which model.
        dtype
            `"auto"` is bfloat16.
        engine_options
            Handed to `vllm.LLM`, for example `tensor_parallel_size=2` or `gpu_memory_utilization=0.8`.

        Raises
        ------
        OptionalDependencyError
            vLLM is not installed.
        InputError
            The family is not one whose embeddings vLLM takes as they are.
        WeightsError
            The weights are missing or damaged.
        """
        # It reports what it runs on to its makers otherwise: nothing that was not asked for opens a connection.
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        vllm = import_optional("vllm", extra="vllm", purpose='backend="vllm"')
        resolved = resolve(name_or_path)
        folder = converted_copy(resolved) if resolved.kind == "gguf" else resolved.path
        family = family_of(folder)
        if family not in FAMILIES:
            raise InputError(
                f"backend='vllm' reads embeddings of {', '.join(sorted(FAMILIES))}; {name_or_path!r} is "
                f"{family!r}. Use backend='hf'."
            )
        kind = _DTYPES[dtype]
        engine = vllm.LLM(
            **{
                "model": str(folder),
                "dtype": str(kind).removeprefix("torch."),
                "enable_prompt_embeds": True,
                "enable_prefix_caching": True,
                "logprobs_mode": "processed_logprobs",
                "max_logprobs": MOST_CHILDREN,
                **engine_options,
                "trust_remote_code": False,
            }
        )
        longest = int(engine.llm_engine.model_config.max_model_len)
        return cls(
            engine,
            read_table(folder).to(kind),
            load_tokenizer(folder),
            name=resolved.name,
            sha256=resolved.sha256,
            max_length=longest,
            sampling=vllm.SamplingParams,
        )

    @property
    def device(self) -> torch.device:
        """Where prompts are put together; the engine moves them."""
        return torch.device("cpu")

    @property
    def dtype(self) -> torch.dtype:
        """Number type of the engine."""
        return self.table.dtype

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding table."""
        return int(self.table.shape[0])

    def embed_tokens(self, ids: Tensor) -> Tensor:
        """Look up token embeddings: int64 (...) to (..., d_llm)."""
        return torch.nn.functional.embedding(ids.cpu(), self.table)

    def to(self, device: str) -> VLLMBackbone:
        """Leave the engine where it was started."""
        return self

    def __getattr__(self, name: str) -> Any:
        if name in {"model", "hidden", "logits", "layer_states", "layers", "n_layers", "head"}:
            raise InputError(
                f"backend='vllm' only scores labels; {name!r} of a language model needs backend='hf' (training, "
                "method='nearest', generated text)."
            )
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"VLLMBackbone({self.name!r}, d_llm={self.d_llm}, {self.dtype})"

    def requests(
        self, prefix: Tensor, suffix: Tensor, trie: LabelTrie
    ) -> tuple[list[dict[str, Tensor]], list[list[int]]]:
        """Build the requests of one row: for each choice of the tree, its prompt and the tokens that may follow.

        Parameters
        ----------
        prefix, suffix
            (P, d_llm) and (T, d_llm), without padding.
        trie
            The labels.

        Returns
        -------
        Prompts with one tensor (P + T + depth, d_llm), checked, and the allowed tokens.
        """
        prompts, allowed = [], []
        start = torch.cat([prefix.cpu().to(self.dtype), suffix.cpu().to(self.dtype)])
        for branch in trie.branches:
            path = [] if branch.token < 0 else np.flatnonzero(trie.sees[branch.token]).tolist()
            path.sort(key=lambda token: int(trie.depths[token]))
            words = self.embed_tokens(torch.from_numpy(trie.tokens[path]).long())
            embeds = torch.cat([start, words]) if path else start
            check_prompt(embeds, d_llm=self.d_llm, dtype=self.dtype, max_length=self.max_length)
            prompts.append({"prompt_embeds": embeds})
            allowed.append([int(token) for token in branch.children])
        return prompts, allowed

    def score_labels(
        self,
        prefix: Tensor,
        inputs_embeds: Tensor,
        trie: LabelTrie,
        *,
        attention_mask: Tensor | None = None,
        batch_size: int = 128,
    ) -> NDArray[np.float32]:
        """Log-probability of each label, as :func:`~.score.score_labels` defines it.

        Parameters
        ----------
        prefix
            (P, d_llm), what all rows begin with.
        inputs_embeds
            (n, T, d_llm).
        trie
            The labels.
        attention_mask
            (n, T), 1 for tokens; None: all.
        batch_size
            Rows whose requests are handed over together.

        Returns
        -------
        float32 (n, n_labels), natural logarithm; `exp` of each row adds up to one.

        Raises
        ------
        InputError
            Shapes, numbers or lengths are not what the engine takes, or it does not answer for every allowed token.
        """
        if inputs_embeds.ndim != 3 or inputs_embeds.shape[2] != self.d_llm:
            raise InputError(f"inputs_embeds must be (n, T, {self.d_llm}), found {tuple(inputs_embeds.shape)}.")
        n, length, _ = inputs_embeds.shape
        mask = torch.ones(n, length, dtype=torch.bool) if attention_mask is None else attention_mask.cpu().bool()
        if tuple(mask.shape) != (n, length):
            raise InputError(f"attention_mask must be ({n}, {length}), found {tuple(mask.shape)}.")
        widest = max((len(branch.children) for branch in trie.branches), default=0)
        if widest > MOST_CHILDREN:
            raise InputError(f"{widest} labels part at one place; backend='vllm' compares at most {MOST_CHILDREN}.")
        scores = np.zeros((n, trie.n_labels), dtype=np.float32)
        if not trie.branches:
            return scores
        for first in range(0, n, batch_size):
            rows = range(first, min(first + batch_size, n))
            edges = self._edges(prefix, [inputs_embeds[row].cpu()[mask[row]] for row in rows], trie)
            padded = np.concatenate([edges, np.zeros((len(rows), 1))], axis=1)
            scores[first : first + len(rows)] = padded[:, trie.label_edges].sum(axis=2)
        return scores

    def _edges(self, prefix: Tensor, suffixes: list[Tensor], trie: LabelTrie) -> NDArray[np.float64]:
        prompts: list[dict[str, Tensor]] = []
        allowed: list[list[int]] = []
        for suffix in suffixes:
            more, following = self.requests(prefix, suffix, trie)
            prompts += more
            allowed += following
        answers = self.engine.generate(prompts, [self._parameters(tokens) for tokens in allowed], use_tqdm=False)
        if len(answers) != len(prompts):
            raise InputError(f"the vLLM engine gave {len(answers)} answers to {len(prompts)} requests.")
        edges = np.zeros((len(suffixes), trie.n_edges))
        for i, (answer, tokens) in enumerate(zip(answers, allowed, strict=True)):
            row, branch = divmod(i, len(trie.branches))
            edges[row, trie.branches[branch].edges] = read_answer(answer, tokens)
        return edges

    def _parameters(self, allowed: list[int]) -> Any:
        make = self._sampling
        if make is None:
            make = import_optional("vllm", extra="vllm", purpose='backend="vllm"').SamplingParams
        return make(max_tokens=1, temperature=0.0, allowed_token_ids=allowed, logprobs=len(allowed), detokenize=False)


def score_with_engine(
    backbone: VLLMBackbone,
    prefix: Tensor,
    inputs_embeds: Tensor,
    trie: LabelTrie,
    *,
    attention_mask: Tensor | None = None,
    batch_size: int = 128,
    prune: float | None = None,
) -> NDArray[np.float32]:
    """Call :meth:`VLLMBackbone.score_labels` as :func:`~.score.score_labels` is called; nothing is ever pruned."""
    return backbone.score_labels(prefix, inputs_embeds, trie, attention_mask=attention_mask, batch_size=batch_size)
