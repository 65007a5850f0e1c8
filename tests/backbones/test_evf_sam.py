"""Text-prompted SAM."""

import pytest
import torch

from avseg.backbones.evf_sam import SamConfig, TextPromptedSam, as_sam_config
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from tests.models.factories import BEIT3, SAM1, SAM2, randomise


@pytest.fixture(scope="module", params=[SAM1, SAM2], ids=["sam1", "sam2"])
def segmenter(request: pytest.FixtureRequest) -> TextPromptedSam:
    torch.manual_seed(0)
    model = TextPromptedSam(request.param, BEIT3).eval()
    randomise(model)
    return model


@pytest.mark.parametrize("config", [SAM1, SAM2], ids=["sam1", "sam2"])
def test_the_model_type_selects_the_version_of_sam(config: SamConfig) -> None:
    assert as_sam_config(config.to_dict()).to_dict() == config.to_dict()


def test_options_without_a_model_type_are_of_sam2() -> None:
    assert as_sam_config({"prompt_dim": 64}) == PromptedSam2Config(prompt_dim=64)
    assert as_sam_config(None) == PromptedSam2Config()
    assert as_sam_config({"model_type": "avseg-prompted-sam1"}) == PromptedSam1Config()


def test_another_sam_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"must be 'avseg-prompted-sam1' or .* got 'sam3'"):
        as_sam_config({"model_type": "sam3"})


def test_a_text_becomes_one_prompt_token(segmenter: TextPromptedSam) -> None:
    tokens = segmenter.beit3.embed_images(torch.randn(2, 3, 64, 64))
    words = segmenter.beit3.embed_text(torch.tensor([[3, 4], [5, 6]]))
    assert segmenter.text_prompts(tokens, words).shape == (2, 1, SAM2.prompt_dim)


def test_words_and_their_embeddings_give_the_same_masks(segmenter: TextPromptedSam) -> None:
    pictures = torch.randn(1, 3, 64, 64)
    features = segmenter.sam.encode_images(pictures)
    tokens = segmenter.beit3.embed_images(pictures)
    words = torch.tensor([[3, 4]])
    by_table = segmenter(features, tokens, segmenter.beit3.embed_text(words))
    by_hand = segmenter(features, tokens, segmenter.beit3.text_embed.weight[words])
    torch.testing.assert_close(by_table.mask_logits, by_hand.mask_logits)


def test_an_image_with_two_texts_is_encoded_once(segmenter: TextPromptedSam) -> None:
    pictures = torch.randn(1, 3, 64, 64)
    features = segmenter.sam.encode_images(pictures)
    tokens = segmenter.beit3.embed_images(pictures)
    text = segmenter.beit3.embed_text(torch.tensor([[3, 4], [5, 6]]))
    both = torch.tensor([0, 0])
    together = segmenter(features.repeat(both), tokens[both], text)
    for i in range(2):
        alone = segmenter(features, tokens, text[i : i + 1])
        torch.testing.assert_close(together.mask_logits[i], alone.mask_logits[0], atol=1e-5, rtol=0)


def test_one_mask_can_be_decoded_instead_of_three(segmenter: TextPromptedSam) -> None:
    pictures = torch.randn(2, 3, 64, 64)
    features = segmenter.sam.encode_images(pictures)
    tokens = segmenter.beit3.embed_images(pictures)
    text = segmenter.beit3.embed_text(torch.tensor([[3, 4], [5, 6]]))
    counts = {
        multimask: segmenter(features, tokens, text, multimask=multimask).mask_logits.shape[1]
        for multimask in (True, False)
    }
    assert counts == {True: 3, False: 1}
