"""Masks and probabilities of names to named sources and class maps."""

import pytest
import torch

from avseg.models.tavis.naming import fuse_classes, name_masks, score_names


def queries() -> torch.Tensor:
    """Upper half, left half, everything, nothing."""
    logits = torch.full((1, 4, 4, 4), -5.0)
    logits[:, 0, :2] = 5.0
    logits[:, 1, :, :2] = 5.0
    logits[:, 2] = 5.0
    return logits


#: Class 1, class 2, the background, class 1.
PROBS = torch.tensor([[[0.1, 0.9, 0.0], [0.2, 0.2, 0.6], [0.8, 0.1, 0.1], [0.0, 1.0, 0.0]]])


def test_background_and_empty_masks_are_no_sources() -> None:
    sources = name_masks(queries(), PROBS, 0.0)
    assert sources.frame_index.tolist() == [0, 0]
    assert sources.name_index.tolist() == [0, 1]  # counted without the background
    torch.testing.assert_close(sources.named_scores, torch.tensor([0.9, 0.6]))
    assert torch.equal(sources.named_logits > 0, queries()[0, :2] > 0)


def test_queries_of_one_name_are_one_source() -> None:
    probs = PROBS.clone()
    probs[0, 1] = torch.tensor([0.3, 0.7, 0.0])
    sources = name_masks(queries(), probs, 0.0)
    assert sources.name_index.tolist() == [0]
    torch.testing.assert_close(sources.named_scores, torch.tensor([0.9]))
    both = (queries()[0, 0] > 0) | (queries()[0, 1] > 0)
    assert torch.equal(sources.named_logits[0] > 0, both)


def test_a_name_below_the_minimum_score_is_no_source() -> None:
    assert name_masks(queries(), PROBS, 0.7).name_index.tolist() == [0]


def test_the_largest_product_gives_a_pixel_its_class() -> None:
    binary = torch.full((1, 4, 4), 5.0)
    classes = fuse_classes(queries(), PROBS, binary, "max").argmax(dim=1)[0, ::4, ::4]
    expected = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 0, 0], [2, 2, 0, 0]])
    assert torch.equal(classes, expected)


def test_a_query_below_the_minimum_score_has_no_pixels() -> None:
    binary = torch.full((1, 4, 4), 5.0)
    classes = fuse_classes(queries(), PROBS, binary, "max", 0.7).argmax(dim=1)[0, ::4, ::4]
    assert (classes[:2] == 1).all()
    assert (classes[2:] == 0).all()


def test_soft_fusion_takes_the_background_from_the_common_mask() -> None:
    binary = torch.full((1, 4, 4), 5.0)
    binary[:, :, 2:] = -5.0
    classes = fuse_classes(queries(), PROBS, binary, "soft").argmax(dim=1)[0, ::4, ::4]
    assert (classes[:, 3] == 0).all()
    assert (classes[:1, 0] == 1).all()
    assert (classes[3, 0] == 2).all()


def test_leading_dimensions_are_kept() -> None:
    fused = fuse_classes(queries()[None], PROBS[None], torch.zeros(1, 1, 4, 4), "max")
    assert fused.shape == (1, 1, 3, 16, 16)


#: Logits of one query for the background and three names. The audio is nearly sure of the first
#: name, the masked image of the third; both find the second one possible.
BY_AUDIO = torch.tensor([[[0.0, 9.0, 6.0, 0.0]]])
BY_IMAGE = torch.tensor([[[0.0, 0.0, 6.0, 9.0]]])
#: Cosines of the whole audio with the three names.
SIMILARITIES = torch.tensor([[0.5, 0.4, 0.1]])


def test_a_mean_is_won_by_one_sure_tower_and_a_geometric_mean_by_agreement() -> None:
    mean, geometric = (
        score_names(BY_AUDIO, BY_IMAGE, SIMILARITIES, rule)[0, 0] for rule in ("mean", "geometric")
    )
    assert mean.argmax() in (1, 3)
    assert geometric.argmax() == 2
    by_audio, by_image = BY_AUDIO.softmax(-1)[0, 0], BY_IMAGE.softmax(-1)[0, 0]
    torch.testing.assert_close(mean, (by_audio + by_image) / 2)
    torch.testing.assert_close(geometric, (by_audio * by_image).sqrt())


@pytest.mark.parametrize(
    ("candidates", "possible"), [(1, [0, 1]), (2, [0, 1, 2]), (0, [0, 1, 2, 3])]
)
def test_only_names_near_the_whole_audio_and_the_background_are_candidates(
    candidates: int, possible: list[int]
) -> None:
    scores = score_names(BY_AUDIO, BY_IMAGE, SIMILARITIES, "geometric", candidates)
    assert scores[0, 0].nonzero()[:, 0].tolist() == possible


def test_more_candidates_than_names_are_all_names() -> None:
    every = score_names(BY_AUDIO, BY_IMAGE, SIMILARITIES, "geometric")
    assert torch.equal(every, score_names(BY_AUDIO, BY_IMAGE, SIMILARITIES, "geometric", 3))
    assert torch.equal(every, score_names(BY_AUDIO, BY_IMAGE, SIMILARITIES, "geometric", 9))
