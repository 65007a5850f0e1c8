"""Result folders: contents, atomic writing, and recognition of finished results."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from avseg.errors import OutputError
from avseg.export import ResultKey, decode_mask, find_result, write_result
from avseg.media import probe
from avseg.types import AudioSelection, Segmentation
from tests.export.conftest import (
    VideoFile,
    VideoMaker,
    audio_packets,
    chunks_of,
    segment,
    segment_named,
    video_times,
)

TIMES_S = [0.1, 0.4, 0.6, 0.9]
SOUNDING = [True, True, False, True]


@pytest.fixture
def video(make_video: VideoMaker) -> VideoFile:
    """Write one second of video and audio."""
    return make_video("bell.mp4", audio_codec="aac")


@pytest.fixture
def segmentation(video: VideoFile) -> Segmentation:
    """Return four frames, three of them with a mask."""
    return segment(video, TIMES_S, sounding=SOUNDING)


def key_of(
    video: VideoFile, *, model_sha256: str = "ab12", threshold: float = 0.5, overlay: bool = True
) -> ResultKey:
    return ResultKey(
        video=probe(video.path),
        model_sha256=model_sha256,
        settings={"threshold": threshold, "frames_per_second": 4},
        overlay=overlay,
    )


def read_json(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return content


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_folder_contains_masks_overlay_and_result(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    folder = tmp_path / "out" / "bell"
    write_result(chunks_of(segmentation), folder, key_of(video))
    assert names_in(folder) == ["masks", "overlay.mp4", "result.json"]
    assert names_in(folder / "masks") == [f"00000{k}.png" for k in range(4)]
    assert video_times(folder / "overlay.mp4") == video_times(video.path)
    assert audio_packets(folder / "overlay.mp4") == audio_packets(video.path)
    assert names_in(tmp_path / "out") == ["bell"]


def test_the_result_records_video_model_and_settings(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    run = replace(key_of(video), licence="MIT")
    write_result([segmentation], tmp_path / "out", run)
    result = read_json(tmp_path / "out")
    assert result["schema_version"] == 1
    assert result["status"] == "complete"
    assert result["model"] == {"name": "drawn", "sha256": "ab12", "licence": "MIT"}
    assert result["settings"] == {"threshold": 0.5, "frames_per_second": 4}
    assert result["fingerprint"] == run.fingerprint()
    assert (result["video"]["width"], result["video"]["height"]) == (64, 48)
    assert result["video"]["audio_codec"] == "aac"


def test_the_result_records_the_audio_tracks_and_which_are_used(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    audio = AudioSelection("auto", (1,), "the only audio track", ("a warning",))
    write_result([segmentation], tmp_path / "out", replace(key_of(video), audio=audio))
    result = read_json(tmp_path / "out")
    assert result["audio"] == {"asked": "auto", "used": [1], "because": "the only audio track"}
    (track,) = result["video"]["audio_tracks"]
    assert (track["number"], track["codec"], track["layout"]) == (1, "aac", "stereo")


@pytest.mark.parametrize(
    ("used", "reason"),
    [
        ((1,), "no audio above -70 dBFS in audio track 1 of 3"),
        ((1, 3), "no audio above -70 dBFS in audio tracks 1 and 3 of 3"),
        ((1, 2, 3), "no audio above -70 dBFS"),
    ],
)
def test_an_empty_result_names_the_tracks_if_others_may_sound(
    video: VideoFile, tmp_path: Path, used: tuple[int, ...], reason: str
) -> None:
    key = key_of(video, overlay=False)
    tracks = key.video.audio_tracks * 3
    key = replace(
        key,
        video=replace(key.video, audio_tracks=tracks),
        audio=AudioSelection("auto", used, "a test"),
    )
    silent = replace(segment(video, [0.1], sounding=[False]), audible=np.zeros(1, np.bool_))
    assert write_result([silent], tmp_path / "out", key).empty_because == reason


def test_a_frame_has_its_time_score_area_box_and_mask(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result(chunks_of(segmentation), tmp_path / "out", key_of(video))
    frame = read_json(tmp_path / "out")["frames"][1]
    mask = decode_mask(frame.pop("rle"))
    np.testing.assert_array_equal(mask, segmentation.masks[1])
    assert frame == {
        "index": 1,
        "time_s": 0.4,
        "score": 0.75,
        "area": 0.25,
        "area_pixels": 768,
        "box": [16, 12, 32, 24],
    }
    with Image.open(tmp_path / "out" / "masks" / "000001.png") as image:
        np.testing.assert_array_equal(np.asarray(image), mask)


def test_a_frame_with_an_empty_mask_has_no_box(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    frame = read_json(tmp_path / "out")["frames"][2]
    assert (frame["area"], frame["box"]) == (0.0, None)
    assert not decode_mask(frame["rle"]).any()


def test_each_frame_is_one_line(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    lines = (tmp_path / "out" / "result.json").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line.rstrip(","))["index"] for line in lines[1:-1]] == [0, 1, 2, 3]


def test_the_summary_has_seconds_and_means_over_sounding_frames(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    summary = write_result([segmentation], tmp_path / "out", key_of(video))
    assert (summary.frame_count, summary.area, summary.score) == (4, 0.25, 0.75)
    assert summary.duration_s == pytest.approx(1.0, abs=0.01)
    assert summary.sounding_s == pytest.approx(0.75 * summary.duration_s)
    assert summary.sound == "copied (aac)"


def test_a_frame_counts_for_its_own_duration(video: VideoFile, tmp_path: Path) -> None:
    durations = np.array([0.3, 0.2, 0.3, 1.2])
    whole = replace(segment(video, TIMES_S, sounding=SOUNDING), durations=durations)
    summary = write_result([whole], tmp_path / "out", key_of(video))
    assert (summary.duration_s, summary.sounding_s) == pytest.approx((2.0, 1.7))
    named_sources = replace(named(video), durations=durations)
    summary = write_result([named_sources], tmp_path / "out", key_of(video, threshold=0.6))
    assert summary.sources == pytest.approx({"dog": 2.0, "cat": 1.5})


def test_without_durations_a_frame_counts_until_the_next_one(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    key = replace(key_of(video), settings={"frames_per_second": None})
    summary = write_result([segmentation], tmp_path / "out", key)
    length_s = key.video.start_s + key.video.duration_s
    assert summary.duration_s == pytest.approx(length_s - 0.1, abs=1e-5)
    assert summary.sounding_s == pytest.approx(length_s - 0.4, abs=1e-5)


def named(video: VideoFile) -> Segmentation:
    """Return a dog on the left, and in the second half a cat with a higher score on the right."""
    left, right = (slice(None), slice(0, 40)), (slice(None), slice(32, 64))
    return segment_named(
        video, TIMES_S, dog=(left, [0.5, 0.5, 0.5, 0.5]), cat=(right, [0, 0, 0.75, 0.75])
    )


def test_each_frame_lists_the_sources_with_a_mask(video: VideoFile, tmp_path: Path) -> None:
    whole = named(video)
    write_result(chunks_of(whole), tmp_path / "out", key_of(video))
    first, *_, last = read_json(tmp_path / "out")["frames"]
    assert [source["name"] for source in first["sources"]] == ["dog"]
    cat, dog = last["sources"]
    assert whole.sources is not None
    np.testing.assert_array_equal(decode_mask(dog.pop("rle")), whole.sources[0].masks[3])
    assert dog == {
        "name": "dog",
        "value": 1,
        "score": 0.5,
        "area": 0.625,
        "area_pixels": 1920,
        "box": [0, 0, 40, 48],
    }
    assert (cat["name"], cat["value"], cat["box"]) == ("cat", 2, [32, 0, 32, 48])
    with Image.open(tmp_path / "out" / "masks" / "000003.png") as image:
        assert np.asarray(image)[0, [0, 31, 32, 63]].tolist() == [1, 1, 2, 2]


def test_the_summary_has_the_seconds_of_each_source(video: VideoFile, tmp_path: Path) -> None:
    run = key_of(video)
    summary = write_result(chunks_of(named(video)), tmp_path / "out", run)
    assert summary.sources == pytest.approx({"dog": 1.0, "cat": 0.5}, abs=0.01)
    assert find_result(tmp_path / "out", run) == summary


def test_a_model_without_names_lists_none(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    assert "sources" not in (tmp_path / "out" / "result.json").read_text(encoding="utf-8")


def test_a_model_with_named_sources_but_no_mask_has_empty_sources(
    video: VideoFile, tmp_path: Path
) -> None:
    silent = replace(segment(video, [0.1], sounding=[False]), sources=())
    summary = write_result([silent], tmp_path / "out", key_of(video))
    assert summary.sources == {}
    assert read_json(tmp_path / "out")["frames"][0]["sources"] == []


def test_a_silent_video_has_a_summary_of_zeros(video: VideoFile, tmp_path: Path) -> None:
    silent = segment(video, [0.1], sounding=[False])
    summary = write_result([silent], tmp_path / "out", key_of(video))
    assert (summary.sounding_s, summary.area, summary.score) == (0.0, 0.0, 0.0)


def test_without_overlay_there_is_none(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    summary = write_result([segmentation], tmp_path / "out", key_of(video, overlay=False))
    assert names_in(tmp_path / "out") == ["masks", "result.json"]
    assert summary.sound is None


def test_a_finished_result_is_found_again(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    written = write_result([segmentation], tmp_path / "out", key_of(video))
    assert find_result(tmp_path / "out", key_of(video)) == written


@pytest.mark.parametrize(
    "change", [{"model_sha256": "cd34"}, {"threshold": 0.6}, {"overlay": False}], ids=str
)
def test_another_model_or_setting_gives_another_key(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path, change: dict[str, Any]
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    assert find_result(tmp_path / "out", key_of(video, **change)) is None


def test_a_changed_video_gives_another_key(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    os.utime(video.path, ns=(1, 1))
    assert find_result(tmp_path / "out", key_of(video)) is None


@pytest.mark.parametrize("name", ["masks/000002.png", "overlay.mp4", "result.json"])
def test_a_folder_with_a_missing_file_is_incomplete(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path, name: str
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    (tmp_path / "out" / name).unlink()
    assert find_result(tmp_path / "out", key_of(video)) is None


def test_a_truncated_result_file_is_incomplete(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    path = tmp_path / "out" / "result.json"
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    assert find_result(tmp_path / "out", key_of(video)) is None


def test_a_result_with_another_key_is_replaced(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    new = key_of(video, threshold=0.6)
    write_result(chunks_of(segmentation)[:2], tmp_path / "out", new)
    summary = find_result(tmp_path / "out", new)
    assert summary is not None
    assert summary.frame_count == len(names_in(tmp_path / "out" / "masks")) == 2


def test_the_result_of_another_existing_video_is_not_replaced(
    video: VideoFile, segmentation: Segmentation, make_video: VideoMaker, tmp_path: Path
) -> None:
    write_result([segmentation], tmp_path / "out", key_of(video))
    other = make_video("other.mp4", size=(video.height, video.width))
    with pytest.raises(OutputError, match=f"result of another video, {video.path}, which"):
        write_result([segmentation], tmp_path / "out", key_of(other))
    assert read_json(tmp_path / "out")["video"]["path"] == str(video.path)
    video.path.unlink()
    write_result([segmentation], tmp_path / "out", key_of(other))
    assert read_json(tmp_path / "out")["video"]["path"] == str(other.path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_segmentation_leaves_no_files(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path, error: type[BaseException]
) -> None:
    def interrupted() -> Iterator[Segmentation]:
        yield from chunks_of(segmentation)[:3]
        raise error

    with pytest.raises(error):
        write_result(interrupted(), tmp_path / "results" / "bell", key_of(video))
    assert names_in(tmp_path / "results") == []


def test_an_interrupted_segmentation_keeps_the_earlier_result(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    def interrupted() -> Iterator[Segmentation]:
        yield chunks_of(segmentation)[0]
        raise KeyboardInterrupt

    folder = tmp_path / "results" / "bell"
    written = write_result([segmentation], folder, key_of(video))
    with pytest.raises(KeyboardInterrupt):
        write_result(interrupted(), folder, key_of(video, threshold=0.6))
    assert find_result(folder, key_of(video)) == written
    assert names_in(tmp_path / "results") == ["bell"]


def test_chunks_are_consumed_one_by_one(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    written_before_each_chunk = []

    def chunks() -> Iterator[Segmentation]:
        for part in chunks_of(segmentation):
            written_before_each_chunk.append(len(list(tmp_path.glob(".out.partial-*/masks/*"))))
            yield part

    write_result(chunks(), tmp_path / "out", key_of(video))
    assert written_before_each_chunk == [0, 1, 2, 3]


def test_a_folder_that_is_no_result_is_not_replaced(
    video: VideoFile, segmentation: Segmentation, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(OutputError, match=r"other files than the result of a video \(cat.jpg\)"):
        write_result([segmentation], tmp_path / "photos", key_of(video))
    assert names_in(tmp_path / "photos") == ["cat.jpg"]


def test_a_segmentation_without_frames_raises(video: VideoFile, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"bell.mp4: the segmentation has no frames"):
        write_result([], tmp_path / "out", key_of(video))
    assert names_in(tmp_path) == ["bell.mp4"]


def test_a_missing_video_raises_with_its_path(video: VideoFile) -> None:
    run = key_of(video)
    video.path.unlink()
    with pytest.raises(OutputError, match=r"bell.mp4: the video cannot be found"):
        run.fingerprint()


def test_results_of_videos_whose_frames_are_converted_now_are_made_again(
    make_video: VideoMaker,
) -> None:
    """Frames of 8 bits keep their results of earlier versions."""
    key = key_of(make_video())
    assert key.video.pixel_format == "yuv420p"
    converted = [
        replace(key.video, hdr=True, colour_transfer="smpte2084"),
        replace(key.video, colour_primaries="bt2020"),
        replace(key.video, interlaced=True),
        replace(key.video, pixel_format="yuv422p10le"),
        replace(key.video, timecode="01:02:03:04"),
    ]
    fingerprints = {replace(key, video=video).fingerprint() for video in converted}
    assert len(fingerprints) == 1
    assert fingerprints != {key.fingerprint()}
    same = replace(key.video, colour_primaries="bt709", colour_matrix="bt709", colour_range="tv")
    assert replace(key, video=same).fingerprint() == key.fingerprint()
