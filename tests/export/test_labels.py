"""Sources are numbered in order of their first mask."""

from pathlib import Path

import pytest

from avseg.errors import OutputError
from avseg.export.labels import MAX_SOURCES, SourceNumbers
from avseg.types import Segmentation
from tests.export.conftest import VideoFile, chunks_of, segment, segment_named

VIDEO = VideoFile(Path("video.mp4"), height=2, width=4)
EVERYWHERE = (slice(None), slice(None))


def number(*parts: Segmentation) -> dict[str, int]:
    numbers = SourceNumbers()
    for part in parts:
        list(numbers.label(part))
    return numbers.by_name


def test_without_named_sources_the_label_is_one() -> None:
    (labels, marked), (nothing, _) = SourceNumbers().label(
        segment(VideoFile(Path("video.mp4"), 4, 4), [0.0, 1.0], sounding=[True, False])
    )
    assert (labels.max(), labels.sum()) == (1, 4)
    assert not nothing.any()
    assert marked == []


def test_the_first_source_with_a_mask_is_one_and_the_higher_score_comes_first() -> None:
    scene = segment_named(
        VIDEO,
        [0.0, 1.0],
        a=(EVERYWHERE, [0, 0.9]),
        b=(EVERYWHERE, [0.1, 0]),
        c=(EVERYWHERE, [0.2, 0]),
    )
    assert number(scene) == {"c": 1, "b": 2, "a": 3}
    assert number(*chunks_of(scene)) == number(scene)


def test_a_source_without_any_mask_has_no_number() -> None:
    scene = segment_named(VIDEO, [0.0], heard=(EVERYWHERE, [0.0]), seen=(EVERYWHERE, [0.5]))
    assert number(scene) == {"seen": 1}


def test_more_than_255_sources_raise() -> None:
    names = {f"thing {k}": (EVERYWHERE, [0.5]) for k in range(MAX_SOURCES + 1)}
    with pytest.raises(OutputError, match=r"video.mp4: .* source number 256 .* at most 255"):
        number(segment_named(VIDEO, [0.0], **names))
