"""The text side of a language model: its tokenizer, used so that nothing is added behind the caller's back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase


class TextSide:
    """Tokenizer of a language model; no model is needed.

    Parameters
    ----------
    tokenizer
        The tokenizer.
    name
        What the language model was loaded as.

    Attributes
    ----------
    eos_id
        Token that ends an answer.
    bos_ids
        `[bos]` where the tokenizer puts one before every text, `[]` where it does not.

    Raises
    ------
    WeightsError
        The tokenizer names no end-of-sequence token.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
        self.tokenizer = tokenizer
        self.name = name
        if tokenizer.eos_token_id is None:
            raise WeightsError(f"The tokenizer of {name!r} names no end-of-sequence token (eos_token).")
        self.eos_id = int(tokenizer.eos_token_id)
        self.bos_ids = _bos_ids(tokenizer)

    def encode(self, text: str, *, allow_special: bool = True) -> list[int]:
        """Tokenise, adding no special tokens.

        Parameters
        ----------
        text
            What to tokenise.
        allow_special
            Whether strings such as `<|im_end|>` in the text become the special token of that name. Set it to
            False for text that users wrote.
        """
        return list(self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not allow_special))

    def decode(self, ids: Sequence[int], *, skip_special: bool = True) -> str:
        """Turn token ids into text, as they stand: no spaces are cleaned up."""
        return str(
            self.tokenizer.decode(
                [int(i) for i in ids], skip_special_tokens=skip_special, clean_up_tokenization_spaces=False
            )
        )


def _bos_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    bos = tokenizer.bos_token_id
    # Having a BOS token is not adding it: SmolLM2 names <|im_start|> and puts nothing before a text.
    ids = tokenizer.encode("a", add_special_tokens=True)
    return [int(bos)] if bos is not None and ids and ids[0] == bos else []
