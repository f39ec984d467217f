"""The toy cells and tiny models that the verbs' tests use."""

from __future__ import annotations

from tests.tl.conftest import cells, make_encoder, tiny_model  # noqa: F401
