"""Scores of classes: figures of the published code, and class maps small enough to count."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from avseg.metrics.semantic import SEMANTIC_PROTOCOLS, SemanticMetrics
from tests.metrics.cases import semantic_clips

RECORDED = json.loads(Path(__file__).with_name("published.json").read_text(encoding="utf-8"))


def classes(*rows: str) -> Tensor:
    return torch.tensor([[[int(pixel) for pixel in row] for row in rows]])


def metrics(*clips: tuple[Tensor, Tensor], class_count: int = 4) -> SemanticMetrics:
    gathered = SemanticMetrics(class_count)
    for marked, true in clips:
        gathered.update(marked, true)
    return gathered


@pytest.mark.parity
@pytest.mark.parametrize("name", RECORDED["semantic"])
def test_a_published_protocol_gives_the_figures_of_its_own_code(name: str) -> None:
    recorded = RECORDED["semantic"][name]
    scores = metrics(*semantic_clips(), class_count=71).compute([name])[name]
    assert {key: scores[key] for key in recorded} == pytest.approx(recorded, abs=5e-7)


def test_every_published_protocol_was_recorded() -> None:
    published = [name for name, row in SEMANTIC_PROTOCOLS.items() if row.code != "avseg"]
    assert sorted(RECORDED["semantic"]) == sorted(published)


def test_a_class_is_averaged_over_frames_that_predict_or_contain_it() -> None:
    # Class 1: half of it found in one frame, marked by mistake in the next, absent from the last.
    first = (classes("1000"), classes("1100"))
    second = (classes("1000"), classes("0000"))
    third = (classes("0000"), classes("0000"))
    by_class = metrics(first, second, third).by_class()
    assert by_class[1] == pytest.approx({"j": (1 / 2 + 0) / 2, "f": 1.3 / 1.6 / 2, "frames": 2})
    assert by_class[0] == pytest.approx(
        {"j": (2 / 3 + 3 / 4 + 1) / 3, "f": (1.3 * 2 / 3.6 + 1.3 * 3 / 4.2 + 1) / 3, "frames": 3}
    )
    assert set(by_class) == {0, 1}


def test_absent_classes_score_zero_as_published_or_are_omitted() -> None:
    scores = metrics((classes("1000"), classes("1000"))).compute()
    assert scores["avss-combo"]["j"] == pytest.approx(2 / 4)
    assert scores["avss-present"]["j"] == 1.0


def test_without_background_the_published_code_drops_the_last_class_instead() -> None:
    scores = metrics((classes("3333"), classes("0000"))).compute()
    clips = metrics((classes("33"), classes("33")), (classes("00"), classes("01"))).compute()
    assert scores["avss-present"]["j_without_background"] == 0.0
    # Of four classes 3 is right, 0 half, 1 missed, 2 absent.
    assert clips["avss-combo"]["j_without_background"] == pytest.approx((0.5 + 0 + 0) / 3)
    assert clips["avss-present"]["j_without_background"] == pytest.approx((1 + 0) / 2)


def test_padding_frames_count_as_correct_background() -> None:
    five = (classes("11").expand(5, -1, -1), classes("01").expand(5, -1, -1))
    scores = metrics(five).compute()
    # Class 0 is missed in five frames and found in five that do not exist.
    assert scores["avss"]["j"] == pytest.approx((5 / 10 + 1 / 2) / 4)
    assert scores["avss-combo"]["j"] == pytest.approx((0 + 1 / 2) / 4)


def test_pooling_gives_large_objects_more_weight() -> None:
    found, missed = (classes("1111"), classes("1111")), (classes("0000"), classes("1000"))
    scores = metrics(found, missed).compute()["avss-cavp"]
    assert scores["j"] == pytest.approx((3 / 4 + 4 / 5) / 4)
    assert scores["f"] == pytest.approx((1.3 * 3 / (0.3 * 3 + 4) + 1.3 * 4 / (0.3 * 5 + 4)) / 2)


def test_processes_that_share_the_clips_get_the_same_figures_to_the_last_digit() -> None:
    clips = semantic_clips()
    first, second = metrics(*clips[::2], class_count=71), metrics(*clips[1::2], class_count=71)
    first.merge(second)
    assert first.compute() == metrics(*clips, class_count=71).compute()


def test_metrics_with_different_numbers_of_classes_are_not_merged() -> None:
    with pytest.raises(ValueError, match="there are 4 classes here and 5 there"):
        SemanticMetrics(4).merge(SemanticMetrics(5))


@pytest.mark.parametrize(
    ("marked", "true", "message"),
    [
        (classes("00"), classes("000"), r"classes are \(1, 1, 2\) and targets \(1, 1, 3\)"),
        (classes("04"), classes("00"), "classes are torch.int64 from 0 to 4, .* from 0 to 3"),
        (classes("00"), classes("00").float(), "targets are torch.float32"),
    ],
)
def test_class_maps_of_other_shapes_and_numbers_raise_an_error(
    marked: Tensor, true: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SemanticMetrics(4).update(marked, true)


def test_the_error_for_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="there is no protocol tpavi; choose from avss, "):
        metrics((classes("00"), classes("00"))).compute(["tpavi"])


def test_scores_without_clips_are_an_error() -> None:
    with pytest.raises(ValueError, match="no clip was added"):
        SemanticMetrics().compute()
