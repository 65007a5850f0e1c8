"""F over 255 thresholds, on masks small enough to count by eye."""

import pytest
import torch

from avseg.metrics.fmeasure import THRESHOLDS, FScore, f_curves
from tests.metrics.drawing import SHIFTED_RIGHT, SILENT, TARGET


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


def test_one_histogram_gives_what_comparing_with_each_of_255_thresholds_gives() -> None:
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


def test_logits_are_refused_with_the_advice_to_apply_the_sigmoid() -> None:
    logits = 8 * TARGET[None].float() - 4
    with pytest.raises(ValueError, match=r"run from -4 to 4, .* apply the sigmoid"):
        FScore().update(logits, TARGET[None])


def test_nan_is_refused() -> None:
    with pytest.raises(ValueError, match="run from nan to nan"):
        FScore().update(torch.full((1, 3, 4), torch.nan), TARGET[None])


def test_f_of_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="no clip was added"):
        FScore().compute()


def test_a_batch_of_clips_is_refused_so_that_no_threshold_is_shared_between_clips() -> None:
    with pytest.raises(ValueError, match=r"must be \(T, H, W\) of one shape, one clip at a time"):
        FScore().update(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4, dtype=torch.bool))
