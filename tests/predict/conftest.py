"""The toy cells and tiny models that the verbs' and the models' tests use."""

from tests.models.conftest import encoder, model, points, saved, spoken  # noqa: F401
from tests.tl.conftest import cells, make_encoder, tiny_model  # noqa: F401
