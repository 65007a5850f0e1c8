"""Tests of `avseg.segment`: outcomes, progress, and options, in this process."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

import avseg
from avseg.batch import BatchProgress
from avseg.errors import (
    CorruptVideoError,
    NoAudioStreamError,
    NotAVideoError,
    OutOfMemoryError,
    OutputError,
    PromptError,
)
from avseg.export import png
from avseg.media import probe
from avseg.segmenter import Segmenter
from tests.segmenters import (
    make_video,
    save_random_cascade,
    save_random_text_model,
    silence,
    tone,
)


def test_one_bad_file_does_not_stop_the_others(folder: Path, tmp_path: Path) -> None:
    good, mute, bad = tmp_path / "a.mp4", tmp_path / "b.mp4", tmp_path / "c.mp4"
    make_video(good, silence(1), seconds=1)
    make_video(mute, seconds=1)
    bad.write_text("no video")
    outcomes = avseg.segment(
        [bad, mute, good], tmp_path / "out", model=folder, isolate=False, overlay=False
    )
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


@pytest.mark.parametrize(
    ("raised", "expected", "message"),
    [
        (
            ZeroDivisionError("division by zero"),
            CorruptVideoError,
            "a.mp4: cannot be segmented (ZeroDivisionError: division by zero)",
        ),
        (RuntimeError("no kernel"), CorruptVideoError, "(RuntimeError: no kernel)"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B"),
            OutOfMemoryError,
            "a.mp4: the memory does not suffice to segment it",
        ),
        (MemoryError(), OutOfMemoryError, "use --memory low"),
    ],
)
def test_an_unexpected_error_of_one_video_does_not_stop_the_others(
    raised: Exception,
    expected: type[Exception],
    message: str,
    segmenter: Segmenter,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_video(tmp_path / name, silence(1), seconds=1)

    def fail_on_first(video: Path, *_: Any) -> Any:
        if video.name == "a.mp4":
            raise raised
        return probe(video)

    monkeypatch.setattr("avseg.batch.videos.probe", fail_on_first)
    first, second = avseg.segment(tmp_path, tmp_path / "out", model=segmenter, overlay=False)
    assert isinstance(first.error, expected)
    assert message in str(first.error)
    assert second.error is None


def test_progress_covers_each_video_and_ends_with_its_outcome(folder: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        make_video(tmp_path / name, silence(1), seconds=1)
    seen: list[BatchProgress] = []
    outcomes = avseg.segment(
        tmp_path,
        tmp_path / "out",
        model=folder,
        isolate=False,
        overlay=False,
        on_progress=seen.append,
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
        str(video), tmp_path / "text", model=text_model, isolate=False, text="dog", overlay=False
    )
    (by_name_outcome,) = avseg.segment(
        video,
        tmp_path / "names",
        model=cascade,
        isolate=False,
        vocabulary=["dog", "bus"],
        overlay=False,
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


def test_a_track_that_does_not_exist_is_the_outcome_of_its_video(
    folder: Path, tmp_path: Path
) -> None:
    one = make_video(tmp_path / "one.mp4", silence(1), seconds=1)
    two = make_video(tmp_path / "two.mp4", silence(1), silence(1), seconds=1)
    first, second = avseg.segment(
        [one, two],
        tmp_path / "out",
        model=folder,
        audio_track=2,
        frames_per_second=1,
        isolate=False,
    )
    assert isinstance(first.error, NoAudioStreamError)
    assert second.error is None


def test_a_wrong_option_is_an_error_before_any_video(folder: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    with pytest.raises(ValueError, match="audio_track is 0"):
        avseg.segment(video, tmp_path / "out", model=folder, audio_track=0)
    with pytest.raises(PromptError, match="takes no text"):
        avseg.segment(video, tmp_path / "out", model=folder, isolate=False, text="dog")
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
    first, second = avseg.segment(
        videos, tmp_path / "out", model=folder, isolate=False, device="cpu"
    )
    assert isinstance(first.error, OutputError)
    assert "No space left on device" in str(first.error)
    assert second.error is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b"]
