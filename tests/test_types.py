"""Clips and segmentations validate their arrays; segmentations of chunks can be joined."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from avseg.packed_mask import PackedMask
from avseg.types import Clip, NamedSource, Segmentation

RATE = 10


def clip(**changes: Any) -> Clip:
    """Three frames of 2 x 4 pixels; audio sample n is n / 100, from 1 s before the first frame."""
    facts: dict[str, Any] = {
        "origin": "street.mp4",
        "frames": np.zeros((3, 2, 4, 3), np.uint8),
        "frame_times": np.array([0.0, 1.0, 2.0]),
        "audio_times": np.array([0.5, 1.5, 2.5]),
        "audio": np.arange(40, dtype=np.float32) / 100,
        "audio_start_s": -1.0,
        "sample_rate": RATE,
    }
    return Clip(**(facts | changes))


def segmentation(first_s: float = 0.0, **changes: Any) -> Segmentation:
    facts: dict[str, Any] = {
        "origin": "street.mp4",
        "frame_times": np.array([first_s, first_s + 1]),
        "masks": np.zeros((2, 2, 4), np.bool_),
        "scores": np.array([0.0, 1.0], np.float32),
        "model": "small",
        "threshold": 0.5,
    }
    return Segmentation(**(facts | changes))


def named(name: str, *pixels: tuple[int, int, int], **changes: Any) -> NamedSource:
    """A source in two frames with marked pixels at (frame, row, column)."""
    masks = np.zeros((2, 2, 4), np.bool_)
    for pixel in pixels:
        masks[pixel] = True
    facts: dict[str, Any] = {"masks": masks, "scores": masks.any((1, 2)).astype(np.float32)}
    return NamedSource(name, **(facts | changes))


def with_sources(first_s: float, *sources: NamedSource) -> Segmentation:
    masks = np.logical_or.reduce([np.zeros((2, 2, 4), np.bool_), *(s.masks for s in sources)])
    return segmentation(first_s, masks=masks, sources=sources)


def test_an_audio_window_is_centred_on_its_audio_time() -> None:
    windows = clip().audio_windows(1.0)
    assert windows.shape == (3, RATE)
    np.testing.assert_allclose(windows[0], np.arange(10, 20) / 100, rtol=1e-6)


def test_windows_of_left_and_right_are_cut_at_the_same_times_as_mono() -> None:
    mono = clip().audio
    windows = clip(channels=np.stack([mono, mono / 2])).channel_windows(1.0)
    np.testing.assert_array_equal(windows[:, 0], clip().audio_windows(1.0))
    np.testing.assert_array_equal(windows[:, 1], clip().audio_windows(1.0) / 2)


def test_a_clip_without_channels_has_windows_of_one_channel() -> None:
    windows = clip().channel_windows(1.0)
    np.testing.assert_array_equal(windows, clip().audio_windows(1.0)[:, None])


def test_audio_windows_are_zero_outside_the_audio() -> None:
    windows = clip(audio=np.ones(15, np.float32), audio_start_s=0.5).audio_windows(1.0)
    assert windows[0].tolist() == [0.0] * 5 + [1.0] * 5
    assert windows[2].tolist() == [0.0] * 10


def test_audio_times_may_decrease() -> None:
    windows = clip(audio_times=np.array([1.5, 0.5, 0.5])).audio_windows(1.0)
    np.testing.assert_array_equal(windows[1], windows[2])


def test_a_clip_without_audio_gives_silent_windows() -> None:
    assert not clip(audio=np.zeros(0, np.float32)).audio_windows().any()


def test_a_window_shorter_than_one_sample_raises() -> None:
    with pytest.raises(ValueError, match=r"window_s is 0.01 s.*at least 0.1 s"):
        clip().audio_windows(0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((3, 2, 4, 3))}, "frames is float64"),
        ({"frames": np.zeros((3, 2, 4, 4), np.uint8)}, r"frames has shape \(3, 2, 4, 4\)"),
        ({"frames": np.zeros((0, 2, 4, 3), np.uint8)}, r"each at least 1"),
        ({"frame_times": np.array([0.0, 1.0])}, "2 times; .* 3 frames"),
        ({"frame_times": np.array([0.0, 2.0, 1.0])}, "frame_times must be finite and never decr"),
        ({"audio_times": np.array([0.0, 1.0, np.nan])}, "audio_times must be finite"),
        ({"audio": np.full(9, 1.5, np.float32)}, r"audio has values from 1.5 .* \[-1.0, 1.0\]"),
        ({"audio": np.full(9, np.nan, np.float32)}, "audio has values from nan"),
        ({"audio": np.zeros((2, 9), np.float32)}, r"audio is float32 of shape \(2, 9\)"),
        ({"audio_start_s": np.inf}, "audio_start_s is inf"),
        ({"channels": np.zeros((2, 9), np.float32)}, r"channels has shape \(2, 9\).*\(2, 40\)"),
        ({"channels": np.full((2, 40), 1.5, np.float32)}, "channels has values from 1.5"),
        ({"sample_rate": 0}, "sample_rate is 0 Hz"),
    ],
)
def test_a_clip_with_a_wrong_shape_dtype_order_or_range_raises(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        clip(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((2, 2, 4), np.uint8)}, "masks is uint8"),
        ({"scores": np.array([0.5], np.float32)}, "1 values; .* 2 masks"),
        ({"scores": np.array([0.5, 1.5], np.float32)}, r"scores has values from 0.5 to 1.5"),
        ({"threshold": 2.0}, "threshold is 2.0"),
        ({"frame_times": np.array([0.0])}, "1 times; .* 2 frames"),
    ],
)
def test_a_segmentation_with_a_wrong_shape_dtype_or_range_raises(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        segmentation(**changes)


def test_chunks_are_joined_in_order() -> None:
    joined = Segmentation.join([segmentation(0.0), segmentation(2.0)])
    assert joined.frame_times.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert joined.masks.shape == (4, 2, 4)
    assert joined.scores.tolist() == [0.0, 1.0, 0.0, 1.0]


def test_joining_chunks_of_different_videos_raises() -> None:
    other = replace(segmentation(2.0), origin="beach.mp4")
    with pytest.raises(ValueError, match=r"beach\.mp4"):
        Segmentation.join([segmentation(), other])


def test_a_source_that_a_chunk_does_not_name_has_empty_masks_there() -> None:
    chunks = [
        with_sources(0.0, named("dog", (1, 0, 0))),
        with_sources(2.0, named("cat", (0, 1, 3))),
    ]
    joined = Segmentation.join([*chunks, with_sources(4.0)])
    assert joined.sources is not None
    dog, cat = joined.sources
    assert (dog.name, cat.name) == ("dog", "cat")
    assert np.argwhere(dog.masks).tolist() == [[1, 0, 0]]
    assert np.argwhere(cat.masks).tolist() == [[2, 1, 3]]
    assert dog.scores.tolist() == [0, 1, 0, 0, 0, 0]
    assert cat.scores.tolist() == [0, 0, 1, 0, 0, 0]


def test_joining_chunks_with_and_without_named_sources_raises() -> None:
    with pytest.raises(ValueError, match="all with named sources or all without"):
        Segmentation.join([segmentation(0.0), with_sources(2.0)])


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ((named("dog"), named("dog")), r"are \['dog', 'dog'\]; each .* once"),
        ((named("dog", (0, 0, 0)),), r"0 marked pixels in frame 0, .* \['dog'\] has 1"),
        (
            (NamedSource("dog", np.zeros((2, 3, 4), np.bool_), np.zeros(2, np.float32)),),
            r"'dog': \(2, 3, 4\)",
        ),
    ],
)
def test_sources_that_do_not_match_the_masks_raise(
    sources: tuple[NamedSource, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        segmentation(sources=sources)


def test_a_source_needs_little_memory_for_large_masks() -> None:
    masks = np.zeros((2, 1000, 2000), np.bool_)
    masks[0, 100:900, 300:1500] = True
    source = NamedSource("dog", masks, np.ones(2, np.float32))
    assert sum(len(mask.content) for mask in source.packed) < 3000  # of 4 MB
    np.testing.assert_array_equal(source.masks, masks)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        (" ", {}, "name is ' '"),
        ("dog", {"masks": np.zeros((2, 2, 4))}, "masks is float64"),
        ("dog", {"masks": [PackedMask((2, 4)), PackedMask((4, 2))]}, "masks of 'dog' have the sh"),
        ("dog", {"scores": np.array([0, 2], np.float32)}, "scores has values from 0.0 to 2.0"),
        ("dog", {"scores": np.zeros(3, np.float32)}, "3 values; .* 2 masks"),
    ],
)
def test_a_source_with_a_blank_name_or_wrong_arrays_raises(
    name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        named(name, **changes)


def test_joining_chunks_out_of_order_raises() -> None:
    with pytest.raises(ValueError, match="never decrease"):
        Segmentation.join([segmentation(2.0), segmentation(0.0)])


def test_joining_no_chunks_raises() -> None:
    with pytest.raises(ValueError, match="no segmentations to join"):
        Segmentation.join([])


def test_joined_chunks_keep_which_frames_are_audible() -> None:
    chunks = [segmentation(0.0, audible=np.array([True, False])), segmentation(2.0, audible=None)]
    joined = Segmentation.join([chunks[0], replace(chunks[1], audible=chunks[0].audible)])
    assert joined.audible is not None
    assert joined.audible.tolist() == [True, False, True, False]
    assert Segmentation.join(chunks).audible is None


def test_audible_has_one_value_for_each_frame() -> None:
    with pytest.raises(ValueError, match="audible has 3 values; there must be one for each"):
        segmentation(audible=np.zeros(3, np.bool_))


def test_durations_are_joined_and_validated() -> None:
    chunk = segmentation(durations=np.array([0.5, 1.5]))
    joined = Segmentation.join([chunk, replace(chunk, frame_times=chunk.frame_times + 2)])
    assert joined.durations is not None
    assert joined.durations.tolist() == [0.5, 1.5, 0.5, 1.5]
    with pytest.raises(ValueError, match="durations has 1 values"):
        segmentation(durations=np.ones(1))
    with pytest.raises(ValueError, match="durations has values from -1"):
        clip(durations=np.array([1.0, -1.0, 1.0]))
