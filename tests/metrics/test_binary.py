"""J and F, on masks small enough to count by eye."""

import pytest
import torch
from torch import Tensor

from avseg.metrics import BinaryMetrics, BinaryScores, mask_iou, strict_mask_iou
from tests.metrics.drawing import SHIFTED_RIGHT, SILENT, TARGET


def score(*clips: tuple[Tensor, Tensor]) -> BinaryScores:
    metrics = BinaryMetrics()
    for mask_probs, targets in clips:
        metrics.update(mask_probs.float(), targets)
    return metrics.compute()


def test_iou_is_shared_pixels_over_marked_pixels() -> None:
    assert mask_iou(SHIFTED_RIGHT, TARGET).item() == pytest.approx(2 / 6)


def test_iou_gives_one_number_for_each_frame() -> None:
    masks = torch.stack([TARGET, SHIFTED_RIGHT])
    assert mask_iou(masks, torch.stack([TARGET, TARGET])).tolist() == [1.0, pytest.approx(2 / 6)]


def test_marking_nothing_where_something_sounds_scores_zero() -> None:
    assert mask_iou(SILENT, TARGET).item() == 0.0


def test_marking_nothing_in_a_silent_frame_scores_one() -> None:
    assert mask_iou(SILENT, SILENT).item() == 1.0
    assert strict_mask_iou(SILENT, SILENT).item() == 1.0


def test_marking_a_third_of_a_silent_frame_scores_two_thirds() -> None:
    assert mask_iou(TARGET, SILENT).item() == pytest.approx(2 / 3)


def test_marking_a_third_of_a_silent_frame_scores_zero_by_the_strict_rule() -> None:
    assert strict_mask_iou(TARGET, SILENT).item() == 0.0


def test_the_rules_differ_in_silent_frames_only() -> None:
    assert strict_mask_iou(SHIFTED_RIGHT, TARGET).item() == pytest.approx(2 / 6)


def test_probabilities_are_refused_as_masks() -> None:
    with pytest.raises(ValueError, match=r"masks are torch.float32.*compare probabilities"):
        mask_iou(TARGET.float(), TARGET)


def test_masks_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"masks are \(2, 4\) and targets \(3, 4\)"):
        mask_iou(TARGET[:2], TARGET)


def test_sounding_frames_are_scored_apart() -> None:
    scores = score((torch.stack([SHIFTED_RIGHT, TARGET]), torch.stack([TARGET, SILENT])))
    assert scores.j == pytest.approx((2 / 6 + 2 / 3) / 2)
    assert scores.j_sounding == pytest.approx(2 / 6)
    assert scores.j_strict == pytest.approx((2 / 6 + 0) / 2)


def test_a_pixel_at_the_threshold_is_not_marked() -> None:
    assert score((0.5 * TARGET[None].float(), TARGET[None])).j == 0.0


def test_f_at_the_threshold_does_not_look_for_a_better_one() -> None:
    scores = score((0.2 * TARGET[None].float(), TARGET[None]))
    assert scores.f == 1.0
    assert scores.f_at_threshold == 0.0


def test_data_set_iou_pools_the_pixels_of_all_frames() -> None:
    scores = score((TARGET[None], TARGET[None]), (SHIFTED_RIGHT[None], TARGET[None]))
    assert scores.dataset_iou == pytest.approx((4 + 2) / (4 + 6))
    background = (8 + 6) / (8 + 6 + 4)  # pixels that neither marks over those one leaves out
    assert scores.dataset_miou == pytest.approx((0.6 + background) / 2)


def test_a_silent_frame_with_fewer_than_one_in_a_thousand_pixels_marked_is_clean() -> None:
    targets = torch.zeros(3, 40, 50, dtype=torch.bool)
    marked = torch.zeros_like(targets)
    marked[1, 0, 0] = True  # 1 of 2000
    marked[2, 0, :2] = True  # 2 of 2000
    scores = score((marked, targets))
    assert scores.silent_clean == pytest.approx(2 / 3)
    assert scores.false_positive_area == pytest.approx((1 / 2000 + 2 / 2000) / 3)
    assert scores.silent_count == 3


def test_without_silent_frames_there_is_nothing_to_say_about_silence() -> None:
    scores = score((TARGET[None], TARGET[None]))
    assert scores.silent_clean is None
    assert scores.false_positive_area is None


def test_without_sounding_frames_there_is_nothing_to_say_about_sound() -> None:
    scores = score((SILENT[None], SILENT[None]))
    assert (scores.j_sounding, scores.f_at_threshold, scores.dataset_iou) == (None, None, None)


def test_the_order_of_the_clips_does_not_matter() -> None:
    generator = torch.Generator().manual_seed(3)
    clips = [
        (torch.rand(t, 9, 7, generator=generator), torch.rand(t, 9, 7, generator=generator) < 0.4)
        for t in (1, 5, 2)
    ]
    forwards, backwards = score(*clips), score(*clips[::-1])
    assert forwards == backwards
    assert (forwards.clip_count, forwards.frame_count) == (3, 8)


def test_processes_that_share_the_clips_get_the_same_figures_to_the_last_digit() -> None:
    generator = torch.Generator().manual_seed(4)
    clips = [
        (torch.rand(5, 9, 7, generator=generator), torch.rand(5, 9, 7, generator=generator) < 0.1)
        for _ in range(7)
    ]
    first, second = BinaryMetrics(), BinaryMetrics()
    for number, clip in enumerate(clips):
        (first if number % 3 else second).update(*clip)
    first.merge(second)
    assert first.compute() == score(*clips)


def test_metrics_with_other_thresholds_are_not_merged() -> None:
    with pytest.raises(ValueError, match=r"are 0.5, 0.3 here and 0.4, 0.3 there"):
        BinaryMetrics().merge(BinaryMetrics(threshold=0.4))
