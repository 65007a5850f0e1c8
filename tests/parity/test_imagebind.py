"""ImageBind's towers compute what their authors' code computes, on the same weights and inputs.

`imagebind.npz` holds what github.com/facebookresearch/ImageBind at 53680b0 computes at a tiny size
in float64, in evaluation mode on a CPU with torch 2.13.0: each tower's states, embeddings and
gradients with respect to its input, and the names and shapes of its state dict. Weights are those
of `reference.make_weight`; the causal mask is the model's own. timm's, iopath's, einops' and ftfy's
few functions that it imports were replaced.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from avseg.backbones.imagebind import ImageBind, ImageBindConfig
from avseg.checkpoints.keymaps.imagebind import IMAGEBIND
from tests.parity.reference import make_weight

pytestmark = pytest.mark.parity

#: float64 leaves room for nothing but another order of summation.
TOLERANCE = 1e-9

SEED = 0
CONFIG = ImageBindConfig(
    vision={"width": 32, "blocks": 2, "heads": 2},
    audio={"width": 24, "blocks": 2, "heads": 2},
    text={"width": 16, "blocks": 2, "heads": 2},
    dim=20,
)
END = 49407


@pytest.fixture(scope="module")
def recorded() -> dict[str, np.ndarray]:
    """Recorded outputs of the authors' code."""
    with np.load(Path(__file__).parent / "imagebind.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def published(recorded: dict[str, np.ndarray]) -> dict[str, Tensor]:
    """The published state dict."""
    shapes: dict[str, list[int]] = json.loads(str(recorded["shapes"]))
    return {name: make_weight(name, shape, SEED) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def model(published: dict[str, Tensor]) -> ImageBind:
    """Our model with these weights, in float64."""
    model = ImageBind(CONFIG)
    model.load_state_dict(IMAGEBIND.fit(published, model.state_dict()).tensors)
    return model.double()


@pytest.fixture(scope="module")
def inputs() -> dict[str, Tensor]:
    """Two images of each size, two spectrograms, three texts, two times six words."""
    generator = torch.Generator().manual_seed(SEED)
    shapes = {
        "vision": (2, 3, 224, 224),
        "vision_half": (2, 3, 112, 112),
        "audio": (2, 1, 128, 204),
        "words": (2, 6, 16),
    }
    made = {n: torch.randn(shape, generator=generator).double() for n, shape in shapes.items()}
    texts = torch.randint(1, 400, (3, 77), generator=generator)
    for row, place in enumerate((5, 2, 76)):
        texts[row, place] = END
    return made | {"texts": texts}


def close(ours: Tensor, reference: np.ndarray) -> None:
    """Require equality up to rounding."""
    torch.testing.assert_close(ours.detach(), torch.from_numpy(reference), atol=TOLERANCE, rtol=0)


def weighted_sum(values: Tensor) -> Tensor:
    """Compute the scalar whose gradients were recorded."""
    weights = torch.linspace(-1, 1, values.numel(), dtype=values.dtype)
    return (values * weights.reshape(values.shape)).sum()


def test_the_key_map_has_every_published_name(published: dict[str, Tensor]) -> None:
    converted = IMAGEBIND.to_ours(published)
    back = IMAGEBIND.to_published(converted.tensors) | converted.unused
    assert back.keys() == published.keys()
    assert all(torch.equal(back[name], values) for name, values in published.items())
    towers = {name.split(".")[1] for name in converted.unused} - {"text"}
    assert towers == {"depth", "thermal", "imu"}


@pytest.mark.parametrize("name", ["vision", "vision_half", "audio"])
def test_image_and_audio_embeddings_equal_the_authors(
    name: str, model: ImageBind, inputs: dict[str, Tensor], recorded: dict[str, np.ndarray]
) -> None:
    values = inputs[name].clone().requires_grad_()
    if name == "audio":
        features = model.encode_audio(values)
        embeddings = model.project_audio(features.cls)
    else:
        features = model.encode_images(values)
        embeddings = model.project_image(features.cls)
    (gradient,) = torch.autograd.grad(weighted_sum(embeddings), values)
    close(features.cls, recorded[f"{name}_cls"])
    close(features.tokens[:, ::24], recorded[f"{name}_tokens_every24"])
    close(embeddings, recorded[f"{name}_embeddings"])
    close(gradient[..., ::16, ::16], recorded[f"{name}_gradient_every16"])
    close(gradient.norm(), recorded[f"{name}_gradient_norm"])


def test_text_embeddings_equal_the_authors(
    model: ImageBind, inputs: dict[str, Tensor], recorded: dict[str, np.ndarray]
) -> None:
    close(model.encode_text_states(inputs["texts"]), recorded["text_states"])
    close(model.encode_text(inputs["texts"]), recorded["text_embeddings"])


def test_six_words_have_the_same_states_as_before_71_others(
    model: ImageBind, inputs: dict[str, Tensor], recorded: dict[str, np.ndarray]
) -> None:
    words = inputs["words"].clone().requires_grad_()
    states = model.encode_words(words)
    (gradient,) = torch.autograd.grad(weighted_sum(states), words)
    close(states, recorded["word_states"])
    close(gradient, recorded["word_gradient"])
