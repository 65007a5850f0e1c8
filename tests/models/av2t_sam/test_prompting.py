"""The projector."""

import pytest
import torch

from avseg.models.av2t_sam import Projector
from tests.models.factories import CONFIG


@pytest.fixture
def projector() -> Projector:
    torch.manual_seed(0)
    return Projector(CONFIG)


@pytest.fixture
def visual() -> torch.Tensor:
    return torch.randn(5, 24)


@pytest.fixture
def audio() -> torch.Tensor:
    return torch.randn(5, 20)


def test_the_published_sizes_have_the_published_shapes() -> None:
    shapes = {name: tuple(p.shape) for name, p in Projector(type(CONFIG)()).state_dict().items()}
    assert shapes == {
        "audio_proj.weight": (512, 1024),
        "audio_proj.bias": (512,),
        "visual_proj.weight": (512, 512),
        "visual_proj.bias": (512,),
        "to_text_space.0.weight": (512, 512),
        "to_text_space.0.bias": (512,),
        "to_text_space.2.weight": (3072, 512),
        "to_text_space.2.bias": (3072,),
    }


def test_image_and_audio_features_are_multiplied(
    projector: Projector, visual: torch.Tensor, audio: torch.Tensor
) -> None:
    product = projector.fuse(visual, None) * projector.fuse(None, audio)
    torch.testing.assert_close(projector.fuse(visual, audio), product)


def test_the_length_of_an_embedding_does_not_matter(
    projector: Projector, visual: torch.Tensor, audio: torch.Tensor
) -> None:
    torch.testing.assert_close(
        projector.fuse(3 * visual, 0.1 * audio), projector.fuse(visual, audio)
    )


def test_fused_features_start_with_variance_about_one() -> None:
    torch.manual_seed(0)
    projector = Projector(CONFIG.replace(fused_dim=512))
    fused = projector.fuse(torch.randn(200, 24), torch.randn(200, 20))
    assert fused.std().item() == pytest.approx(1.25**0.5, abs=0.1)


def test_an_untrained_product_is_the_audio_scaled_by_the_image() -> None:
    torch.manual_seed(0)
    projector = Projector(CONFIG.replace(fused_dim=512))
    audio = torch.randn(200, 20)
    audio_alone, fused = projector.fuse(None, audio), projector.fuse(torch.randn(200, 24), audio)
    alike = torch.nn.functional.cosine_similarity(audio_alone, fused).mean().item()
    assert 0.8 < alike < 0.95


def test_the_projector_returns_three_text_tokens(
    projector: Projector, visual: torch.Tensor
) -> None:
    assert projector(projector.fuse(visual, None)).shape == (5, 3, CONFIG.beit3_config.dim)


def test_no_embeddings_to_fuse_raises_an_error(projector: Projector) -> None:
    with pytest.raises(ValueError, match="neither visual nor audio embeddings; give at least one"):
        projector.fuse(None, None)
