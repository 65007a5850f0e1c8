"""The published protocols: figures of their own code, and one drawing for each quirk."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avseg.metrics.protocol_table import PROTOCOLS, Protocol
from avseg.metrics.protocols import (
    ProtocolScores,
    global_false_positive_rate,
    global_score,
    spread,
    vision_bias,
)
from tests.metrics.cases import binary_clips
from tests.metrics.drawing import SHIFTED_RIGHT, SILENT, TARGET, draw

RECORDED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))
PUBLISHED = [name for name, protocol in PROTOCOLS.items() if protocol.code != "avseg"]

Clip = tuple[Tensor, Tensor]


def logits(mask: Tensor, sure: float = 4.0) -> Tensor:
    return sure * (2 * mask.float() - 1)


def score(name: str, *clips: Clip) -> dict[str, float]:
    scores = ProtocolScores([name])
    for mask_logits, targets in clips:
        scores.update(mask_logits, targets)
    return scores.compute()[name]


@pytest.fixture(scope="module")
def ours() -> dict[str, dict[str, float]]:
    """Score the recorded cases by all protocols."""
    scores = ProtocolScores()
    for clip in binary_clips():
        scores.update(*clip)
    return scores.compute()


@pytest.mark.parity
@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_protocol_gives_the_figures_of_its_own_code(
    name: str, ours: dict[str, dict[str, float]]
) -> None:
    # Their sums are in 32 bits.
    assert ours[name] == pytest.approx(RECORDED["binary"][name], abs=5e-7)


def test_every_published_protocol_was_recorded() -> None:
    assert sorted(RECORDED["binary"]) == sorted(PUBLISHED)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_difference_from_avsbench_has_an_effect_and_a_place_in_the_code(name: str) -> None:
    protocol, plain = PROTOCOLS[name], Protocol(title="", code="")
    fields = set(vars(plain)) - {"title", "code", "sources", "quirks"}
    departures = {field for field in fields if getattr(protocol, field) != getattr(plain, field)}
    # Pooled scores know no batches.
    departures -= {"clips_per_batch"} if protocol.is_pooled else set()
    named = {quirk.name for quirk in protocol.quirks}
    assert departures - named <= ({"clips_per_batch"} if name == "strict" else set())
    assert named <= departures
    assert all(quirk.effect and quirk.source for quirk in protocol.quirks)


def test_the_effect_of_a_quirk_has_its_value() -> None:
    effects = {quirk.name: quirk.effect for quirk in PROTOCOLS["ref-avs"].quirks}
    assert effects["threshold"] == "pixels above 0.4 are marked, not above 0.5"
    assert effects["clips_per_batch"].startswith("batches of 4 clips")
    assert "256 x 256" in effects["side"]


def clip(mask_logits: Tensor, target: Tensor) -> Clip:
    return mask_logits[None], target[None]


def test_a_batch_shares_one_threshold() -> None:
    # The first clip is right above 0.73 only, the second below 0.27 only.
    glow = torch.where(TARGET, 4.0, 1.0)
    faint = torch.where(TARGET, -1.0, -4.0)
    pair = (clip(glow, TARGET), clip(faint, TARGET))
    assert score("tpavi", *pair)["f"] == 1.0
    everywhere = 1.3 * (4 / 12) / (0.3 * (4 / 12) + 1)  # what marking all pixels gives
    assert score("tpavi-batch4", *pair)["f"] == pytest.approx((everywhere + 1) / 2)


def test_a_smaller_last_batch_has_the_weight_of_a_full_one() -> None:
    right, wrong = clip(logits(TARGET), TARGET), clip(logits(SILENT), TARGET)
    assert score("tpavi-batch4", right, right, right, right, wrong)["j"] == pytest.approx(1 / 2)
    assert score("tpavi", right, right, right, right, wrong)["j"] == pytest.approx(4 / 5)


def test_a_batch_of_silent_frames_adds_a_zero_to_f() -> None:
    right, silent = clip(logits(TARGET), TARGET), clip(logits(SILENT), SILENT)
    assert score("tpavi", right, silent)["f"] == pytest.approx(1 / 2)
    assert score("tpavi-batch4", right, silent)["f"] == 1.0


def test_f_on_logits_misses_pixels_of_low_probability() -> None:
    faint = clip(torch.where(TARGET, -1.0, -4.0), TARGET)
    assert score("tpavi", faint)["f"] == 1.0
    assert score("av2t-sam", faint)["f"] == 0.0


def test_a_lower_threshold_marks_more() -> None:
    nearly = clip(torch.where(TARGET, -0.2, -4.0), TARGET)  # probability 0.45
    assert score("gavs", nearly)["j"] == 1.0
    assert score("tpavi", nearly)["j"] == 0.0


def test_pooled_pixels_count_the_background_as_a_class() -> None:
    shifted = clip(logits(SHIFTED_RIGHT), TARGET)
    scores = score("cavp", shifted)
    assert scores["j"] == pytest.approx((2 / 6 + 6 / 10) / 2)
    assert score("tpavi", shifted)["j"] == pytest.approx(2 / 6)


def test_an_absent_class_scores_zero_in_pooled_iou_and_is_omitted_from_f() -> None:
    silence = clip(logits(SILENT), SILENT)
    assert score("cavp", silence) == {"j": 0.5, "f": 1.0}


def test_one_marked_pixel_fails_a_silent_frame_by_the_strict_rule_only() -> None:
    speck = clip(logits(draw("#...", "....", "....")), SILENT)
    assert score("strict", speck)["j"] == 0.0
    assert score("tpavi", speck)["j"] == pytest.approx(11 / 12)


def test_frames_and_not_clips_have_equal_weight_over_the_whole_set() -> None:
    long = (logits(torch.stack([TARGET] * 3)), torch.stack([TARGET] * 3))
    short = clip(logits(SILENT), TARGET)
    assert score("whole-set", long, short)["j"] == pytest.approx(3 / 4)
    assert score("tpavi", long, short)["j"] == pytest.approx(1 / 2)


def test_a_resized_ground_truth_takes_the_nearest_pixel_or_grows() -> None:
    # One true column of 512 at 256: it is touched, but the nearest pixel may be its neighbour.
    target = torch.zeros(1, 512, 512, dtype=torch.bool)
    target[..., 100] = True
    everything = torch.full((1, 1, 1), 9.0)
    assert score("ref-avs", (everything, target))["j"] == pytest.approx(1 / 256)
    assert score("sama-avs", (everything, target))["j"] == pytest.approx(2 / 1024)


def test_logits_of_another_size_are_resized_to_the_annotated_one() -> None:
    coarse = logits(draw("#."))
    left = draw("##..", "##..")
    assert score("tpavi", clip(coarse, left))["j"] == 1.0


def test_scores_do_not_depend_on_arrival_order_or_processes() -> None:
    clips = binary_clips()
    names = ["tpavi-batch4", "cavp", "strict"]
    first, second = ProtocolScores(names), ProtocolScores(names)
    for index in (3, 0, 5, 1, 4, 2):
        (first if index % 3 else second).update(*clips[index], index=index)
    first.merge(second)
    in_order = ProtocolScores(names)
    for mask_logits, targets in clips:
        in_order.update(mask_logits, targets)
    assert first.compute() == in_order.compute()


def test_the_order_of_the_data_set_changes_the_batches() -> None:
    clips = binary_clips()
    assert score("tpavi-batch4", *clips) != score("tpavi-batch4", *clips[::-1])


def test_the_same_clip_from_two_processes_is_an_error() -> None:
    first, second = ProtocolScores(["tpavi"]), ProtocolScores(["tpavi"])
    first.update(*clip(logits(TARGET), TARGET))
    second.update(*clip(logits(TARGET), TARGET))
    with pytest.raises(ValueError, match=r"clip 0 was added before \(1 of 1 were\); give each"):
        first.merge(second)


def test_a_category_is_scored_as_if_it_were_the_whole_data_set() -> None:
    scores = ProtocolScores(["tpavi"])
    scores.update(*clip(logits(TARGET), TARGET), category="dog")
    scores.update(*clip(logits(SILENT), TARGET), category="cat")
    scores.update(*clip(logits(SHIFTED_RIGHT), TARGET), category="dog")
    by_category = scores.by_category()
    assert list(by_category) == ["cat", "dog"]
    assert by_category["cat"]["tpavi"]["j"] == 0.0
    assert by_category["dog"]["tpavi"]["j"] == pytest.approx((1 + 2 / 6) / 2)


def test_the_spread_is_the_largest_minus_the_smallest_figure() -> None:
    rows = [{"j": 0.5, "f": 0.9}, {"j": 0.7, "f": 0.6}, {"j": 0.6, "f": 0.7}]
    assert spread(rows) == pytest.approx({"j": 0.2, "f": 0.3})


@pytest.mark.parametrize("names", [["tpavi", "tpvai"], []])
def test_the_error_for_an_unknown_protocol_lists_the_known_ones(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"there is no protocol .*choose from tpavi, "):
        ProtocolScores(names)


def test_scores_by_different_protocols_are_not_merged() -> None:
    with pytest.raises(ValueError, match="protocols are tpavi here and gavs there"):
        ProtocolScores(["tpavi"]).merge(ProtocolScores(["gavs"]))


@pytest.mark.parametrize(
    ("mask_logits", "targets", "message"),
    [
        (torch.zeros(2, 3, 4), torch.zeros(1, 3, 4, dtype=torch.bool), "of the same T frames"),
        (torch.zeros(3, 4), torch.zeros(3, 4, dtype=torch.bool), r"mask_logits are \(3, 4\)"),
        (torch.zeros(1, 3, 4), torch.zeros(1, 3, 4), "must be torch.bool"),
        (torch.full((1, 3, 4), torch.nan), torch.zeros(1, 3, 4, dtype=torch.bool), "contain NaN"),
    ],
)
def test_other_shapes_and_dtypes_raise_an_error(
    mask_logits: Tensor, targets: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ProtocolScores(["tpavi"]).update(mask_logits, targets)


def test_scores_without_clips_are_an_error() -> None:
    with pytest.raises(ValueError, match="no clip was added"):
        ProtocolScores().compute()


EMPTIED = {"muted": 0.0, "noise": 0.0}


def test_a_perfect_mask_that_vanishes_with_its_sound_has_a_joint_score_of_one() -> None:
    assert global_score(1.0, EMPTIED) == 1.0


def test_the_joint_score_is_a_harmonic_mean() -> None:
    # Original audio: 0.8. Negative conditions: 1 - (0.3 + 0.5) / 2 = 0.6.
    joint = global_score(0.8, {"muted": 0.3, "noise": 0.5})
    assert joint == pytest.approx(2 * 0.8 * 0.6 / (0.8 + 0.6))


@pytest.mark.parametrize("score", [0.0, 0.5, 0.8, 1.0])
def test_a_model_that_ignores_the_audio_has_a_joint_score_of_at_most_a_half(score: float) -> None:
    joint = global_score(score, {"muted": score})
    assert joint == pytest.approx(2 * score * (1 - score))
    assert joint <= 0.5


def test_a_perfect_mask_under_each_condition_has_a_joint_score_of_zero() -> None:
    assert global_score(1.0, {"muted": 1.0}) == 0.0


def test_a_model_that_never_marks_a_pixel_has_a_joint_score_of_zero() -> None:
    assert global_score(0.0, EMPTIED) == 0.0


def test_negative_conditions_have_equal_weight_in_the_false_positive_rate() -> None:
    assert global_false_positive_rate({"muted": 0.0, "noise": 0.1, "off": 0.2}) == pytest.approx(
        0.1
    )


def test_vision_bias_is_the_share_of_the_score_that_remains_when_muted() -> None:
    assert vision_bias(0.8, 0.6) == pytest.approx(0.75)
    assert vision_bias(0.8, 0.0) == 0.0


def test_a_score_of_zero_has_no_vision_bias() -> None:
    assert vision_bias(0.0, 0.0) is None


def test_without_a_negative_condition_an_error_is_raised() -> None:
    with pytest.raises(ValueError, match="no negative condition to average over"):
        global_score(0.8, {})


@pytest.mark.parametrize("score", [-0.1, 1.1, float("nan"), 78.8])
def test_scores_outside_of_0_to_1_raise_an_error(score: float) -> None:
    with pytest.raises(ValueError, match=r"of 'noise' is .*, it must be in \[0, 1\]"):
        global_false_positive_rate({"noise": score})
