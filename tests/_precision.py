"""How far two computations of the same number may lie apart: from the number type and the length of the sums.

No tolerance of a test is what one machine gave. Other processors sum in another order (vectors of 4, 8 or 16 numbers,
fused or not, split over threads), so that each sum of n terms is rounded otherwise; nothing else may differ.
"""

from __future__ import annotations

from typing import Any

import numpy as np

SAFETY = 8.0
"""Standard deviations that are allowed: two results, each a random walk of roundings, and cells of a table by the
thousand of which the worst counts. A wrong result is off by a share of its scale, ten thousand times as much."""


def tolerance(dtype: object, n_terms: int, scale: float = 1.0) -> float:
    """Largest difference that rounding explains.

    A sum of n numbers of size s is rounded n times, each time by at most half of `eps * s`, up as often as down. The
    errors walk at random: their sum grows with the root of n (Higham and Mary 2019, "A new approach to probabilistic
    rounding error analysis"), not with n as in the worst case. Layers that follow each other add their terms, because
    the variances of independent errors add up. Hence `SAFETY * eps * sqrt(n_terms) * scale`.

    Parameters
    ----------
    dtype
        In which the longer sums were done: `"float32"`, `"float64"`, `"float16"`, or `"bfloat16"`.
    n_terms
        Terms of all sums that a value goes through, one after the other.
    scale
        Size of the largest values on the way.
    """
    eps = 2.0**-7 if str(dtype) == "bfloat16" else float(np.finfo(dtype).eps)  # type: ignore[call-overload]
    return SAFETY * eps * float(np.sqrt(n_terms)) * scale


# The tiny language models of tests/conftest.py and tests/llm: 2 layers, 32 wide, 64 in the middle, prompts of up to 256
# tokens. A value goes through q, k and v (32 terms), attention (8 of a head, 256 positions), the way out (32), the
# middle and back (32 + 64), in each layer, and its norms (2 x 32); at the end the head (32).
TINY_LLM = 2 * (32 + 8 + 256 + 32 + 32 + 64 + 64) + 32
# Their hidden states are normed to length sqrt(32): single values seldom exceed four.
STATES = tolerance("float32", TINY_LLM, scale=4.0)
# Their logits are sums of 32 products of a normed state and weights of 0.3, which lie within some 16; the sum over a
# vocabulary of 320 tokens is added. The log-probability of a label is a sum over its tokens, eight at the most.
LOGITS = tolerance("float32", TINY_LLM + 320, scale=4.0)
LOG_PROBS = tolerance("float32", TINY_LLM + 320 + 8, scale=16.0)
# Log-probabilities over at most 64 candidates are normed once more: their sum is wrong by what that norming rounds, of
# logits within 16, whatever they are.
TOTALS = tolerance("float32", 64, scale=16.0)
# Lengths and inner products of unit vectors of at most 1024 dimensions, and means of as many values below one.
UNIT = tolerance("float32", 1024)
# A value that was copied or went through a handful of operations.
FEW = tolerance("float32", 4)
# Averages, embeddings and projections of the small encoders: 200 genes, 64 hidden units, values within four.
SMALL_NET = tolerance("float32", 200 + 64 + 64, scale=4.0)
# Whitening takes values of 300 less their mean and divides by the spread of the weakest direction, a tenth.
WHITENED = tolerance("float32", 1, scale=300.0 / 0.1)
# Log-values back to counts: exp turns the rounding of a logarithm of up to ten into a relative error ten times as
# large, and the z-score of a gene divides by a spread of a tenth and more.
LOGS = tolerance("float32", 200 + 64 + 64, scale=4.0 * 10.0)
# A loss is a mean of log-probabilities of labels: no more terms than one of them, and values below those of a few nats.
LOSS = tolerance("float32", TINY_LLM + 320 + 8, scale=4.0)
# Adam divides each gradient by its own size, so that a gradient that is all rounding still moves its weight by a whole
# step: no bound holds for single weights. Of what training changed as a whole, half of the digits have to agree.
TRAINED = float(np.sqrt(np.finfo(np.float32).eps))
# A number that a file holds in half precision is rounded once, by half of this at most.
HALF = float(np.finfo(np.float16).eps)


def trained_alike(one: dict[str, Any], other: dict[str, Any], began: dict[str, Any] | None = None) -> bool:
    """Whether two trainings moved each tensor by the same, but for :data:`TRAINED` of how far it moved.

    A tensor that is not in `began`, what they began as, is taken to have begun as zeros.
    """
    began, close = began or {}, True
    for key, value in other.items():
        if value.is_floating_point():
            moved = float((value - began.get(key, 0.0)).norm())
            close &= float((one[key] - value).norm()) <= TRAINED * moved
    return close
