"""J and F, on masks small enough to count by eye."""

import pytest
import torch
from torch import Tensor

from avseg.metrics import BinaryMetrics, BinaryScores, mask_iou, strict_mask_iou
from avseg.metrics.binary import THRESHOLDS, FScore, f_curves
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


def test_an_empty_mask_in_a_sounding_frame_scores_zero() -> None:
    assert mask_iou(SILENT, TARGET).item() == 0.0


def test_an_empty_mask_in_a_silent_frame_scores_one() -> None:
    assert mask_iou(SILENT, SILENT).item() == 1.0
    assert strict_mask_iou(SILENT, SILENT).item() == 1.0


def test_marking_a_third_of_a_silent_frame_scores_two_thirds() -> None:
    assert mask_iou(TARGET, SILENT).item() == pytest.approx(2 / 3)


def test_marking_a_third_of_a_silent_frame_scores_zero_by_the_strict_rule() -> None:
    assert strict_mask_iou(TARGET, SILENT).item() == 0.0


def test_the_rules_differ_in_silent_frames_only() -> None:
    assert strict_mask_iou(SHIFTED_RIGHT, TARGET).item() == pytest.approx(2 / 6)


def test_probabilities_instead_of_masks_raise_an_error() -> None:
    with pytest.raises(ValueError, match=r"masks are torch.float32.*compare probabilities"):
        mask_iou(TARGET.float(), TARGET)


def test_masks_of_another_size_raise_an_error() -> None:
    with pytest.raises(ValueError, match=r"masks are \(2, 4\) and targets \(3, 4\)"):
        mask_iou(TARGET[:2], TARGET)


def test_sounding_frames_have_a_score_of_their_own() -> None:
    scores = score((torch.stack([SHIFTED_RIGHT, TARGET]), torch.stack([TARGET, SILENT])))
    assert scores.j == pytest.approx((2 / 6 + 2 / 3) / 2)
    assert scores.j_sounding == pytest.approx(2 / 6)
    assert scores.j_strict == pytest.approx((2 / 6 + 0) / 2)


def test_a_pixel_at_the_threshold_is_not_marked() -> None:
    assert score((0.5 * TARGET[None].float(), TARGET[None])).j == 0.0


def test_f_at_the_threshold_uses_no_other_threshold() -> None:
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


def test_without_silent_frames_their_scores_are_none() -> None:
    scores = score((TARGET[None], TARGET[None]))
    assert scores.silent_clean is None
    assert scores.false_positive_area is None


def test_without_sounding_frames_their_scores_are_none() -> None:
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


def test_metrics_with_different_thresholds_are_not_merged() -> None:
    with pytest.raises(ValueError, match=r"are 0.5, 0.3 here and 0.4, 0.3 there"):
        BinaryMetrics().merge(BinaryMetrics(threshold=0.4))


def test_each_clip_is_scored_at_its_own_best_threshold() -> None:
    f = FScore()
    f.update(0.9 * TARGET[None].float(), TARGET[None])
    f.update(0.2 * TARGET[None].float(), TARGET[None])
    assert f.compute() == 1.0


def test_all_frames_of_a_clip_share_one_threshold() -> None:
    # Frame 1 needs a threshold above 0.6, frame 2 one below 0.3.
    loud = 0.9 * TARGET.float() + 0.6 * (SHIFTED_RIGHT & ~TARGET).float()
    quiet = 0.3 * TARGET.float()
    f = FScore()
    f.update(torch.stack([loud, quiet]), torch.stack([TARGET, TARGET]))
    half_right = 1.3 * (4 / 6) * 1 / (0.3 * (4 / 6) + 1)  # precision 4 / 6, recall 1
    assert f.compute() == pytest.approx((half_right + 1) / 2)


def test_f_weighs_precision_and_recall_by_beta2() -> None:
    f = FScore()
    f.update(torch.cat([TARGET, TARGET])[None, :4].float(), torch.cat([TARGET, SILENT])[None, :4])
    precision, recall = 4 / 6, 1.0
    assert f.compute() == pytest.approx(1.3 * precision * recall / (0.3 * precision + recall))


def test_silent_frames_do_not_count_in_f() -> None:
    f = FScore()
    f.update(torch.stack([TARGET, TARGET]).float(), torch.stack([TARGET, SILENT]))
    assert f.compute() == 1.0


def test_a_clip_of_silent_frames_only_scores_zero_in_f_as_in_avsbench() -> None:
    f = FScore()
    f.update(SILENT[None].float(), SILENT[None])
    assert f.compute() == 0.0


def test_one_histogram_equals_the_comparison_with_each_of_255_thresholds() -> None:
    generator = torch.Generator().manual_seed(5)
    probs = torch.rand(3, 20, 30, generator=generator)
    probs[0, :5] = 1.0
    probs[1, :5] = 0.0
    targets = torch.rand(3, 20, 30, generator=generator) < 0.2
    curve = []
    for threshold in torch.linspace(0, 1 - 1e-10, 255):
        frames = []
        for frame_probs, target in zip(probs, targets, strict=True):
            marked = frame_probs >= threshold
            hits = float((marked & target).sum())
            precision = hits / (float(marked.sum()) + 1e-20)
            recall = hits / (float(target.sum()) + 1e-20)
            weighted = 0.3 * precision + recall
            frames.append(1.3 * precision * recall / weighted if weighted else 0.0)
        curve.append(sum(frames) / len(frames))
    f = FScore()
    f.update(probs, targets)
    assert f.compute() == pytest.approx(max(curve), abs=1e-12)


@pytest.mark.parametrize("steps", [-2, -1, 0, 1, 2])
def test_a_pixel_at_a_threshold_reaches_it_and_one_just_below_does_not(steps: int) -> None:
    probs = THRESHOLDS
    for _ in range(abs(steps)):
        probs = probs.nextafter(torch.full_like(probs, 2.0 if steps > 0 else -1.0))
    marked = (probs >= THRESHOLDS[:, None]).sum(1)  # under each threshold
    curve = f_curves(probs[None, None], torch.ones(1, 1, 255, dtype=torch.bool), beta2=1.0)
    torch.testing.assert_close(curve[0], 2.0 * marked / (marked + 255), check_dtype=False)


def test_scores_outside_zero_and_one_reach_no_threshold_and_all_of_them() -> None:
    scores = torch.tensor([[[-7.0, 0.0, 1.0, 30.0]]])
    curve = f_curves(scores, torch.tensor([[[False, True, True, True]]]), beta2=1.0)[0]
    assert curve[0] == 1.0  # threshold 0: all but the negative one
    assert curve[1] == curve[254] == pytest.approx(2 * 2 / (2 + 3))


def test_a_silent_frame_has_no_curve() -> None:
    curves = f_curves(torch.stack([TARGET, TARGET]).float(), torch.stack([SILENT, TARGET]))
    assert curves[0].max() == 0
    assert curves[1].max() == 1


def test_the_error_for_logits_says_to_apply_the_sigmoid() -> None:
    logits = 8 * TARGET[None].float() - 4
    with pytest.raises(ValueError, match=r"run from -4 to 4, .* apply the sigmoid"):
        FScore().update(logits, TARGET[None])


def test_nan_raises_an_error() -> None:
    with pytest.raises(ValueError, match="run from nan to nan"):
        FScore().update(torch.full((1, 3, 4), torch.nan), TARGET[None])


def test_f_without_clips_is_an_error() -> None:
    with pytest.raises(ValueError, match="no clip was added"):
        FScore().compute()


def test_a_batch_of_clips_raises_an_error() -> None:
    with pytest.raises(ValueError, match=r"must be \(T, H, W\) of one shape, one clip at a time"):
        FScore().update(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4, dtype=torch.bool))
