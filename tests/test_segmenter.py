"""A video goes in, masks of what sounds come out: at its size, in pieces, and never in silence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avseg.errors import DeviceError, NoAudioStreamError, NotAVideoError, TruncatedVideoError
from avseg.media import read_clip
from avseg.segmenter import Segmenter, SegmentOptions, load_segmenter, segment_to_folder
from tests.media.videos import Track, cut, level
from tests.segmenters import make_video, save_random_model, silence, tone

OPTIONS = SegmentOptions(frames_per_second=5)


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Segmenter:
    """A segmenter with random weights, which needs a quarter second of sound for a frame."""
    return load_segmenter(save_random_model(tmp_path_factory.mktemp("models") / "random"), "cpu")


@pytest.fixture
def deaf(segmenter: Segmenter, monkeypatch: pytest.MonkeyPatch) -> Segmenter:
    """A segmenter whose model must not be asked."""

    def refuse(**_: object) -> None:
        raise AssertionError("the model was asked")

    monkeypatch.setattr(segmenter.model, "forward", refuse)
    return segmenter


def test_every_frame_gets_a_mask_of_the_videos_own_size(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    segmentation = segmenter(make_video(tmp_path / "a.mp4", tone(2)))
    assert segmentation.masks.shape == (20, 48, 64)
    np.testing.assert_allclose(segmentation.frame_times, np.arange(20) / 10)
    assert (segmentation.scores > 0).all()
    assert segmentation.model == "random"


def test_a_rate_takes_fewer_frames(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    assert segmenter(video, frames_per_second=1).frame_times.tolist() == [0.9, 1.9]


def test_a_higher_threshold_marks_less(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    low, high = (segmenter(video, 1, threshold=t).masks for t in (0.01, 0.99))
    assert low.sum() > high.sum()
    assert not (high & ~low).any()


def test_pieces_have_at_most_16_frames_and_join_to_the_whole(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    whole = segmenter(video)
    pieces = list(segmenter.stream(video))
    assert [len(piece.masks) for piece in pieces] == [16, 4]
    np.testing.assert_array_equal(np.concatenate([p.masks for p in pieces]), whole.masks)


def test_a_clip_read_at_once_gives_what_the_pieces_give(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    clip = read_clip(video, None, segmenter.processor.sample_rate)
    whole = segmenter.segment_clip(clip)
    np.testing.assert_allclose(whole.scores, segmenter(video).scores, atol=1e-5)


def test_a_silent_video_marks_nothing_without_asking_the_model(
    deaf: Segmenter, tmp_path: Path
) -> None:
    segmentation = deaf(make_video(tmp_path / "a.mp4", silence(2)))
    assert len(segmentation.masks) == 20
    assert not segmentation.masks.any()
    assert not segmentation.scores.any()


def test_only_frames_with_sound_around_them_are_asked_about(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    late = replace(tone(1), start_s=1.0)
    scores = segmenter(make_video(tmp_path / "a.mkv", late)).scores
    # Windows reach 0.125 s to each side of a frame's middle, here at 0.05 s, 0.15 s, ...
    assert (scores > 0).tolist() == [False] * 9 + [True] * 11


@pytest.mark.parametrize(("level_dbfs", "is_heard"), [(-72.0, False), (-68.0, True)])
def test_silence_ends_at_minus_70_decibels(
    level_dbfs: float, is_heard: bool, segmenter: Segmenter, tmp_path: Path
) -> None:
    quiet = Track(level(10 ** (level_dbfs / 20), 2), codec="pcm_f32le")
    segmentation = segmenter(make_video(tmp_path / "a.mkv", quiet), frames_per_second=1)
    assert bool(segmentation.scores.any()) == is_heard


def test_a_video_without_sound_is_refused_or_taken_for_silent(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4")
    with pytest.raises(NoAudioStreamError, match="--silent-ok"):
        segmenter(video)
    assert not segmenter(video, silent_ok=True).masks.any()


def test_a_threshold_that_is_no_probability_is_refused(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="between 0 and 1, got 50"):
        segmenter(make_video(tmp_path / "a.mp4", tone(2)), threshold=50)


@pytest.mark.parametrize("device", ["cpus", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(device: str, segmenter: Segmenter) -> None:
    del segmenter
    with pytest.raises(DeviceError, match=rf"no device '{device}' here; give auto, cpu"):
        load_segmenter(device=device)


def test_a_loaded_segmenter_knows_the_hash_of_its_weights(segmenter: Segmenter) -> None:
    assert segmenter.weights_sha256 is not None
    assert len(segmenter.weights_sha256) == 64


def test_a_folder_is_written_once(segmenter: Segmenter, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(2))
    first = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    second = segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    assert (first.was_there, second.was_there) == (False, True)
    assert first.summary == second.summary
    assert first.summary.frame_count == 10


@pytest.mark.parametrize(
    "changed", [{"threshold": 0.4}, {"frames_per_second": 2}, {"overlay": False}]
)
def test_other_options_write_it_again(
    changed: dict[str, Any], segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", silence(2))
    segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS)
    options = replace(OPTIONS, **changed)
    assert not segment_to_folder(segmenter, video, tmp_path / "out", options).was_there


def test_a_finished_silent_video_is_finished_without_silent_ok_too(
    segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4")
    segment_to_folder(segmenter, video, tmp_path / "out", replace(OPTIONS, silent_ok=True))
    assert segment_to_folder(segmenter, video, tmp_path / "out", OPTIONS).was_there


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
def test_a_video_that_cannot_be_read_to_its_end_leaves_nothing(
    make: Callable[[Path], Path], error: type[Exception], segmenter: Segmenter, tmp_path: Path
) -> None:
    video = make(tmp_path)
    with pytest.raises(error):
        segment_to_folder(segmenter, video, tmp_path / "out" / "a", SegmentOptions())
    out = tmp_path / "out"
    assert not out.exists() or not list(out.iterdir())


def test_an_interrupt_leaves_nothing(segmenter: Segmenter, tmp_path: Path) -> None:
    def interrupt(share: float) -> None:
        raise KeyboardInterrupt(share)

    video = make_video(tmp_path / "a.mp4", silence(2))
    with pytest.raises(KeyboardInterrupt):
        segment_to_folder(segmenter, video, tmp_path / "out" / "a", SegmentOptions(), interrupt)
    assert not list((tmp_path / "out").iterdir())


def test_a_result_must_be_able_to_name_its_weights(segmenter: Segmenter, tmp_path: Path) -> None:
    unsaved = Segmenter(segmenter.model, segmenter.processor, "new", torch.device("cpu"))
    with pytest.raises(ValueError, match="'new' was never saved; save it"):
        segment_to_folder(unsaved, tmp_path / "a.mp4", tmp_path / "out", OPTIONS)
