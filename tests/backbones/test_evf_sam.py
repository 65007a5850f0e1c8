"""Text-prompted SAM."""

import pytest
import torch

from avseg.backbones.evf_sam import TextPromptedSam
from tests.models.factories import BEIT3, SAM2, randomise


@pytest.fixture(scope="module")
def segmenter() -> TextPromptedSam:
    torch.manual_seed(0)
    model = TextPromptedSam(SAM2, BEIT3).eval()
    randomise(model)
    return model


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
