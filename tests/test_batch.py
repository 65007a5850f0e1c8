"""Tests of batches: result folders, repeated runs, and videos that fail."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import avseg
from avseg.batch import BatchProgress, SegmentOptions, segment_to_folder
from avseg.errors import (
    CorruptVideoError,
    NoAudioStreamError,
    NotAVideoError,
    OutputError,
    PromptError,
    TruncatedVideoError,
)
from avseg.export import png
from avseg.media import probe
from avseg.segmenter import Dtype, Segmenter, load_segmenter
from tests.media.videos import Picture, cut, write
from tests.segmenters import (
    make_video,
    save_random_cascade,
    save_random_model,
    save_random_text_model,
    silence,
    tone,
)

OPTIONS = SegmentOptions(frames_per_second=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model that uses the audio."""
    return save_random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> Segmenter:
    """A segmenter with that model."""
    return load_segmenter(folder, "cpu")


@pytest.fixture(scope="module")
def text_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that is prompted by texts."""
    folder = save_random_text_model(tmp_path_factory.mktemp("models") / "random_text")
    return load_segmenter(folder, "cpu")


@pytest.fixture(scope="module")
def naming_segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights that names sounding objects: dog, cat, bus."""
    return load_segmenter(save_random_cascade(tmp_path_factory.mktemp("models") / "naming"), "cpu")


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


def test_one_bad_file_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    good, mute, bad = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    make_video(good, silence(1), seconds=1)
    make_video(mute, seconds=1)
    bad.write_text("no video")
    outcomes = avseg.segment([bad, mute, good], tmp_path / "out", model=folder, overlay=False)
    assert [outcome.video for outcome in outcomes] == [bad, mute, good]
    assert [type(outcome.error) for outcome in outcomes] == [
        NotAVideoError,
        NoAudioStreamError,
        type(None),
    ]
    assert [outcome.summary is not None for outcome in outcomes] == [False, False, True]
    assert [outcome.folder for outcome in outcomes if outcome.folder.exists()] == [
        tmp_path / "out" / "a"
    ]


def test_an_unexpected_error_of_one_video_does_not_stop_the_others(
    segmenter: Segmenter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_video(tmp_path / name, silence(1), seconds=1)

    def fail_on_first(video: Path, *_: Any) -> Any:
        if video.name == "a.mp4":
            raise ZeroDivisionError("division by zero")
        return probe(video)

    monkeypatch.setattr("avseg.batch.probe", fail_on_first)
    first, second = avseg.segment(tmp_path, tmp_path / "out", model=segmenter, overlay=False)
    assert isinstance(first.error, CorruptVideoError)
    assert "a.mp4: cannot be segmented (ZeroDivisionError: division by zero)" in str(first.error)
    assert second.error is None


def test_progress_covers_each_video_and_ends_with_its_outcome(folder: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_video(tmp_path / name, silence(1), seconds=1)
    seen: list[BatchProgress] = []
    outcomes = avseg.segment(
        tmp_path, tmp_path / "out", model=folder, overlay=False, on_progress=seen.append
    )
    assert [(each.number, each.total, each.share) for each in seen] == [
        *((1, 2, 0.0), (1, 2, pytest.approx(0.9)), (1, 2, 1.0)),
        *((2, 2, 0.0), (2, 2, pytest.approx(0.9)), (2, 2, 1.0)),
    ]
    assert [each.outcome for each in seen if each.outcome is not None] == outcomes


def test_one_path_one_text_and_a_list_of_names_are_accepted(tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    text_model = save_random_text_model(tmp_path / "text_model")
    cascade = save_random_cascade(tmp_path / "cascade")
    (by_text_outcome,) = avseg.segment(
        str(video), tmp_path / "text", model=text_model, text="dog", overlay=False
    )
    (by_name_outcome,) = avseg.segment(
        video, tmp_path / "names", model=cascade, vocabulary=["dog", "bus"], overlay=False
    )
    for outcome, names in ((by_text_outcome, {"dog"}), (by_name_outcome, {"dog", "bus"})):
        assert outcome.summary is not None
        assert (outcome.summary.sources or {}).keys() <= names


def test_a_loaded_segmenter_keeps_its_texts_and_takes_no_options_of_loading(
    text_segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    dog = text_segmenter.with_texts("dog")
    (outcome,) = avseg.segment(video, tmp_path / "out", model=dog, overlay=False)
    assert outcome.summary is not None
    assert set(outcome.summary.sources or {}) <= {"dog"}
    with pytest.raises(ValueError, match="pass them to load_segmenter"):
        avseg.segment(video, tmp_path / "out", model=dog, dtype="bfloat16")


def test_a_wrong_option_is_an_error_before_any_video(folder: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    with pytest.raises(PromptError, match="takes no text"):
        avseg.segment(video, tmp_path / "out", model=folder, text="dog")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_an_outcome_and_the_next_video_is_tried(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos = [make_video(tmp_path / name, tone(1)) for name in ("a.mp4", "b.mp4")]
    saved = png.save_mask

    def save_mask(mask: Any, path: Path) -> None:
        if "a.partial" in str(path):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        saved(mask, path)

    monkeypatch.setattr(png, "save_mask", save_mask)
    first, second = avseg.segment(videos, tmp_path / "out", model=folder, device="cpu")
    assert isinstance(first.error, OutputError)
    assert "No space left on device" in str(first.error)
    assert second.error is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]
