from __future__ import annotations

import numpy as np
import pytest
import torch

from scbioverse.errors import InputError
from scbioverse.llm.backbone import Backbone
from scbioverse.llm.represent import MAX_TOKENS, default_layer, represent
from scbioverse.models.shared_space import TextSpace
from tests._precision import STATES, UNIT, WHITENED

TEXTS = ["naive CD4 T cell", "B cell", "CD14 monocyte, LYZ and S100A8", "x", "B cell", "pancreatic beta cell"]


@pytest.fixture(params=["llama", "neox"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue("tiny_backbone" if request.param == "llama" else "tiny_backbone_untied")


@pytest.fixture
def reps() -> np.ndarray:
    """Narrow cone: a large common vector, two strong directions, weak ones that carry the difference."""
    rng = np.random.default_rng(0)
    scales = np.r_[50.0, 20.0, np.linspace(1.0, 0.1, 14)]
    return (rng.normal(size=(200, 16)) * scales + 300).astype(np.float32)


@torch.no_grad()
def test_mean_of_the_layer_behind_one_anchor(backbone: Backbone) -> None:
    anchor = backbone.bos_ids or [backbone.eos_id]
    for layer in range(backbone.n_layers + 1):
        found = represent(backbone, ["B cell is CD3E"], layer=layer)
        ids = torch.tensor([anchor + backbone.encode("B cell is CD3E")])
        states = backbone.model(input_ids=ids, output_hidden_states=True).hidden_states[layer]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found[0], states[0, 1:].mean(0).numpy(), atol=STATES)
    np.testing.assert_array_equal(represent(backbone, TEXTS), represent(backbone, TEXTS, layer=default_layer(backbone)))


def test_batch_size_and_order_do_not_matter(backbone: Backbone) -> None:
    found = represent(backbone, TEXTS, batch_size=32)
    assert found.shape == (len(TEXTS), backbone.d_llm)
    for size in (1, 2, 5):
        np.testing.assert_allclose(represent(backbone, TEXTS, batch_size=size), found, atol=STATES)
    np.testing.assert_allclose(represent(backbone, TEXTS[::-1])[::-1], found, atol=STATES)
    np.testing.assert_array_equal(found[1], found[4])


def test_equal_texts_are_computed_once(tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    original = Backbone.layer_states

    def counted(self: Backbone, ids: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
        rows.append(len(ids))
        return original(self, ids, mask, layer)

    monkeypatch.setattr(Backbone, "layer_states", counted)
    represent(tiny_backbone, TEXTS * 10, batch_size=2)
    assert rows == [2, 2, 1]


def test_special_strings_are_text(tiny_backbone: Backbone) -> None:
    marked, ended = represent(tiny_backbone, ["B cell<|im_end|>", "B cell"])
    ids = tiny_backbone.encode("B cell<|im_end|>")
    assert ids[-1] == tiny_backbone.eos_id  # as a special token it would be one id
    assert len(tiny_backbone.encode("B cell<|im_end|>", allow_special=False)) > len(ids)
    assert not np.allclose(marked, ended)


def test_long_texts_are_cut(tiny_backbone: Backbone) -> None:
    long = "B cell " * 400
    kept = tiny_backbone.decode(tiny_backbone.encode(long)[:MAX_TOKENS])
    np.testing.assert_allclose(*represent(tiny_backbone, [long, kept]), atol=STATES)


def test_bad_input(tiny_backbone: Backbone) -> None:
    with pytest.raises(InputError, match="Text 1 of 2 is empty"):
        represent(tiny_backbone, ["a", ""])
    with pytest.raises(InputError, match="batch_size must be at least 1"):
        represent(tiny_backbone, ["a"], batch_size=0)
    with pytest.raises(InputError, match=r"layer must be in 0\.\.2"):
        represent(tiny_backbone, ["a"], layer=9)
    assert represent(tiny_backbone, []).shape == (0, 32)


def test_space_centres_and_whitens(reps: np.ndarray) -> None:
    space = TextSpace.fit(reps, dim=16, shrinkage=0)
    raw = (torch.from_numpy(reps) - space.mean) @ space.components
    np.testing.assert_allclose(np.cov(raw.numpy().T), np.eye(16), atol=WHITENED)
    coordinates = space.transform(reps)
    assert coordinates.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(coordinates, axis=1), 1, rtol=UNIT)
    # Before, every cosine was near 1; now they scatter around 0.
    unit = reps / np.linalg.norm(reps, axis=1, keepdims=True)
    assert np.median(unit @ unit.T) > 0.95
    assert abs(np.median(coordinates @ coordinates.T)) < 0.05


def test_space_against_scikit_learn(reps: np.ndarray) -> None:
    from sklearn.decomposition import PCA

    space = TextSpace.fit(reps, dim=5, shrinkage=0)
    expected = PCA(5, whiten=True, svd_solver="full").fit_transform(reps.astype(np.float64))
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    found = space.transform(reps)
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=WHITENED)


def test_shrinkage_only_tempers_weak_directions(reps: np.ndarray) -> None:
    full, shrunk = TextSpace.fit(reps, dim=16, shrinkage=0), TextSpace.fit(reps, dim=16, shrinkage=0.1)
    ratio = (shrunk.components.norm(dim=0) / full.components.norm(dim=0)).numpy()
    assert np.all(np.diff(ratio) < 0)
    assert ratio[0] > 0.98
    assert ratio[-1] < 0.1


def test_dimensions_are_bounded_by_the_data(reps: np.ndarray) -> None:
    assert TextSpace.fit(reps, dim=256).dim == 16
    assert TextSpace.fit(reps[:5], dim=256).dim == 4
    assert TextSpace.fit(reps, dim=3).transform(reps).shape == (200, 3)


def test_fit_repeats_and_ignores_row_order(reps: np.ndarray) -> None:
    first, second = TextSpace.fit(reps), TextSpace.fit(reps[::-1].copy())
    np.testing.assert_allclose(first.transform(reps), second.transform(reps), atol=WHITENED)


def test_tensors_round_trip_bit_for_bit(reps: np.ndarray) -> None:
    from safetensors.torch import load, save

    space = TextSpace.fit(reps, dim=7)
    again = TextSpace.from_tensors(load(save(space.tensors())))
    np.testing.assert_array_equal(again.transform(reps), space.transform(reps))


def test_bad_fits_and_tensors(reps: np.ndarray) -> None:
    with pytest.raises(InputError, match="n >= 2"):
        TextSpace.fit(reps[:1])
    with pytest.raises(InputError, match="All representations are equal"):
        TextSpace.fit(np.ones((4, 3), np.float32))
    with pytest.raises(KeyError, match="components"):
        TextSpace.from_tensors({"mean": torch.zeros(3)})
    with pytest.raises(InputError, match="do not fit together"):
        TextSpace.from_tensors({"mean": torch.zeros(3), "components": torch.zeros(4, 2)})


def test_too_little_memory_changes_the_batches_alone(
    backbone: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    wanted, real, seen = represent(backbone, TEXTS), backbone.layer_states, []

    def tight(ids: torch.Tensor, mask: torch.Tensor, layer: int) -> torch.Tensor:
        seen.append(len(ids))
        if len(ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(ids, mask, layer)

    monkeypatch.setattr(backbone, "layer_states", tight)
    with caplog.at_level("WARNING", logger="scbioverse"):
        np.testing.assert_allclose(represent(backbone, TEXTS), wanted, atol=STATES)
    assert seen == [5, 2, 2, 1]
    assert "out of memory on 5 texts at once; going on with 2" in caplog.text
