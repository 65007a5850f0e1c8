"""Tests of one video of a batch: its result folder, repeated runs, and failure."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from avseg.batch import SegmentOptions, segment_to_folder
from avseg.errors import (
    NoAudioStreamError,
    NotAVideoError,
    TruncatedVideoError,
)
from avseg.export import ResultKey, find_result
from avseg.media import probe
from avseg.media.sound_changes import RULE
from avseg.segmenter import Dtype, Segmenter, load_segmenter
from avseg.types import AudioTrackOption
from tests.media.videos import Picture, cut, write
from tests.segmenters import (
    make_video,
    silence,
    tone,
)

OPTIONS = SegmentOptions(frames_per_second=5)


def test_a_complete_folder_is_not_written_again(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    first = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    second = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    assert (first.was_complete, second.was_complete) == (False, True)
    assert first.summary == second.summary
    assert first.summary is not None
    assert first.summary.frame_count == 10


@pytest.mark.parametrize(
    "changed", [{"threshold": 0.4}, {"frames_per_second": 2}, {"overlay": False}]
)
def test_other_options_write_the_folder_again(
    changed: dict[str, Any], segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", silence(2))
    segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    options = replace(OPTIONS, **changed)
    assert not segment_to_folder(segmenter, video, tmp_path / "out", options).was_complete


def test_other_texts_write_the_folder_again(text_segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4")
    dog, bus = (text_segmenter.with_texts(text) for text in ("dog", "bus"))
    done = [
        segment_to_folder(one, video, tmp_path / "out", OPTIONS).was_complete
        for one in (dog, dog, bus)
    ]
    assert done == [False, True, False]


def test_another_vocabulary_writes_the_folder_again(
    naming_segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", silence(2))
    done = [
        segment_to_folder(one, video, tmp_path / "out", OPTIONS).was_complete
        for one in (naming_segmenter, naming_segmenter, naming_segmenter.with_vocabulary("bus"))
    ]
    assert done == [False, True, False]


def test_another_dtype_writes_the_folder_again(folder: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    done = []
    precisions: list[Dtype] = ["float32", "bfloat16", "bfloat16"]
    for dtype in precisions:
        segmenter = load_segmenter(folder, "cpu", dtype=dtype)
        done.append(segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_complete)
    assert done == [False, False, True]


def test_another_image_size_writes_the_folder_again(folder: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    for image_size in (None, 32):
        segmenter = load_segmenter(folder, "cpu", image_size=image_size)
        assert not segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_complete


@pytest.mark.parametrize("option", [1, 2, "mix"])
def test_another_audio_track_writes_the_folder_again(
    option: AudioTrackOption, segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), silence(1), seconds=1)
    done = [
        segment_to_folder(
            segmenter, video, tmp_path / "out", replace(OPTIONS, audio_track=audio_track)
        ).was_complete
        for audio_track in ("auto", option, option)
    ]
    assert done == [False, False, True]


@pytest.mark.parametrize("others", [0, 1])
def test_a_result_of_a_version_without_the_option_stays_valid_with_one_track(
    others: int, segmenter: Segmenter, tmp_path: Path
) -> None:
    """With several, another one than the default track may be used now."""
    video = make_video(tmp_path / "a.mp4", silence(1), *[tone(1)] * others, seconds=1)
    # Frames that are a window apart, so that no later setting applies.
    options = replace(OPTIONS, frames_per_second=4)
    settings = {"frames_per_second": options.frames_per_second, "threshold": options.threshold}
    assert segmenter.weights_sha256 is not None
    key = ResultKey(probe(video), segmenter.weights_sha256, settings)
    segment_to_folder(segmenter, video, tmp_path / "out", options)
    assert (find_result(tmp_path / "out", key) is not None) == (others == 0)


def test_the_track_that_is_used_instead_stands_in_the_result(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mkv", replace(silence(1), default=True), tone(1), seconds=1)
    outcome = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    assert outcome.summary is not None
    (warning,) = outcome.summary.warnings
    assert warning.startswith("audio track 2 is used: the default track, 1, is digitally silent")
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["audio"] == {
        "asked": "auto",
        "used": [2],
        "because": "the default track, 1, is digitally silent",
    }
    assert result["summary"]["warnings"] == [warning]
    assert [track["default"] for track in result["video"]["audio_tracks"]] == [True, False]


def test_audio_beside_the_picture_is_left_out_and_named_in_the_result(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mkv", replace(tone(1), start_s=43_200.0), seconds=1)
    options = replace(OPTIONS, silent_ok=True)
    summary = segment_to_folder(segmenter, video, tmp_path / "out", options).summary
    assert summary is not None
    assert summary.sound == "none"
    (warning,) = summary.warnings
    assert "does not overlap the picture" in warning


@pytest.mark.parametrize(("frames_per_second", "moves"), [(None, True), (5, True), (4, False)])
def test_the_rule_of_the_audio_windows_is_recorded_where_it_applies(
    frames_per_second: float | None, moves: bool, segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    options = SegmentOptions(frames_per_second, overlay=False)
    segment_to_folder(segmenter, video, tmp_path / "a", options)
    settings = json.loads((tmp_path / "a" / "result.json").read_text())["settings"]
    # The window of the model is a quarter of a second long.
    assert settings.get("audio_windows") == (RULE if moves else None)


def test_a_complete_silent_result_is_complete_without_silent_ok_too(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4")
    segment_to_folder(segmenter, video, tmp_path / "out", replace(OPTIONS, silent_ok=True))
    assert segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_complete


def test_seconds_are_counted_by_presentation_times(
    text_segmenter: Segmenter, tmp_path: Path
) -> None:
    """A variable frame rate, and a picture that starts after the audio."""
    picture = Picture(times_ms=[1500, 1600, 1700, 2700, 2800, 3500], noise=True)
    video = write(tmp_path / "a.mkv", [picture], [tone(3)])
    shares: list[float] = []
    options = SegmentOptions(threshold=1e-6)
    outcome = segment_to_folder(
        text_segmenter.with_texts("dog"), video, tmp_path / "out", options, shares.append
    )
    summary = outcome.summary
    assert summary is not None
    assert summary.duration_s == pytest.approx(2.1, abs=0.06)
    assert summary.sounding_s == pytest.approx(summary.duration_s)
    assert summary.sources == {"dog": summary.sounding_s}
    assert shares == [pytest.approx(2.0 / 2.1, abs=0.02)]


def test_progress_rises_to_the_end(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", silence(4), seconds=4)
    shares: list[float] = []
    segment_to_folder(segmenter, video, tmp_path / "out", SegmentOptions(), shares.append)
    assert shares == pytest.approx([1.5 / 4, 3.1 / 4, 3.9 / 4], abs=0.01)


def make_truncated(folder: Path) -> Path:
    return cut(make_video(folder / "a.mkv", silence(4), seconds=4), 0.5)


def make_soundless(folder: Path) -> Path:
    return make_video(folder / "a.mp4")


def make_text(folder: Path) -> Path:
    path = folder / "a.mp4"
    path.write_text("no video")
    return path


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (make_truncated, TruncatedVideoError),
        (make_soundless, NoAudioStreamError),
        (make_text, NotAVideoError),
    ],
)
def test_a_damaged_video_leaves_no_folder(
    make: Callable[[Path], Path], error: type[Exception], segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make(tmp_path)
    with pytest.raises(error):
        segment_to_folder(segmenter, video, tmp_path / "out" / "a", SegmentOptions())
    out = tmp_path / "out"
    assert not out.exists() or not list(out.iterdir())


def test_an_interrupt_leaves_no_folder(segmenter: Segmenter, tmp_path: Path) -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt(share)

    video = make_video(tmp_path / "a.mp4", silence(2))
    with pytest.raises(KeyboardInterrupt):
        segment_to_folder(segmenter, video, tmp_path / "out" / "a", SegmentOptions(), interrupt)
    assert not list((tmp_path / "out").iterdir())


def test_a_model_without_a_hash_gets_no_result_folder(segmenter: Segmenter, tmp_path: Path) -> None:
    unsaved = Segmenter(segmenter.model, segmenter.processor, "new")
    with pytest.raises(ValueError, match=r"'new' was never saved.*; save it"):
        segment_to_folder(unsaved, tmp_path / "a.mp4", tmp_path / "out", OPTIONS)


def test_large_blocks_are_returned_while_a_large_video_is_segmented(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1))
    calls: list[str] = []

    @contextmanager
    def record(size: int) -> Iterator[None]:
        calls.append(f"begin {size}")
        yield
        calls.append("end")

    monkeypatch.setattr("avseg.batch.videos.return_large_blocks", record)
    segment_to_folder(segmenter, video, tmp_path / "small", OPTIONS)
    assert not calls
    monkeypatch.setattr("avseg.batch.videos.LARGE_PIXELS", 1)
    progress: list[str] = []
    segment_to_folder(
        segmenter, video, tmp_path / "large", OPTIONS, lambda _: progress.append(calls[-1])
    )
    assert set(progress) == {"begin 4194304"}  # during each chunk
    assert calls[-1] == "end"
