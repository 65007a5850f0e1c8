"""ImageBind as a whole: frozen, differentiable, with embeddings of three kinds."""

import math

import pytest
import torch

from avseg.backbones.imagebind import ImageBind, ImageBindConfig

CONFIG = ImageBindConfig(
    vision={"image_size": 28, "width": 8, "blocks": 1, "heads": 2},
    audio={"mel_bins": 26, "target_length": 36, "width": 12, "blocks": 1, "heads": 2},
    text={"vocab": 9, "context": 6, "width": 16, "blocks": 2, "heads": 2},
    dim=10,
)


@pytest.fixture
def model() -> ImageBind:
    """Build an ImageBind with random weights."""
    torch.manual_seed(0)
    return ImageBind(CONFIG)


def test_a_frozen_imagebind_stays_in_evaluation_mode(model: ImageBind) -> None:
    model.train()
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_an_imagebind_that_is_not_frozen_is_trainable() -> None:
    model = ImageBind(CONFIG, frozen=False).train()
    assert model.vision_tower.training
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_gradients_pass_through_to_images_words_and_class_tokens(model: ImageBind) -> None:
    pictures = torch.randn(1, 3, 28, 28, requires_grad=True)
    words = torch.randn(1, 3, 16, requires_grad=True)
    cls = torch.randn(1, 12, requires_grad=True)
    outputs = (
        model.project_image(model.encode_images(pictures).cls),
        model.encode_words(words)[:, -1],
        model.project_audio(cls),
    )
    some = torch.cat(outputs, dim=-1).square()[..., ::2].sum()
    gradients = torch.autograd.grad(some, (pictures, words, cls))
    assert all(gradient.abs().max() > 0 for gradient in gradients)


def test_image_embeddings_are_unit_vectors_and_others_are_scaled(model: ImageBind) -> None:
    pictures = model.project_image(model.encode_images(torch.randn(2, 3, 28, 28)).cls)
    sounds = model.project_audio(model.encode_audio(torch.randn(2, 1, 26, 36)).cls)
    texts = model.encode_text(torch.tensor([[1, 3, 8], [4, 8, 0]]))
    lengths = [values.norm(dim=-1).tolist() for values in (pictures, sounds, texts)]
    assert lengths[0] == pytest.approx([1, 1])
    assert lengths[1] == pytest.approx([20, 20])
    assert lengths[2] == pytest.approx([1 / 0.07] * 2)


def test_the_scale_of_texts_is_limited(model: ImageBind) -> None:
    model.text_log_scale.fill_(math.log(1e6))
    assert model.project_text(torch.randn(16)).norm().item() == pytest.approx(100)


def test_padding_after_the_end_of_a_text_has_no_effect(model: ImageBind) -> None:
    texts = torch.tensor([[1, 3, 8, 0, 0, 0], [1, 3, 8, 5, 2, 7], [4, 2, 6, 5, 7, 8]])
    states = model.encode_text_states(texts)
    torch.testing.assert_close(states[0], states[1])
    alone = model.encode_text_states(texts[:1, :3])
    torch.testing.assert_close(states[:1], alone)


def test_embeddings_of_words_have_the_state_of_their_text(model: ImageBind) -> None:
    texts = torch.tensor([[1, 3, 2, 8]])
    words = model.text_tower.token_embedding(texts)
    torch.testing.assert_close(model.encode_words(words)[:, 3], model.encode_text_states(texts))
