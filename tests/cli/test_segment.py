"""Tests of `avseg segment`: files, printed table, errors and exit codes."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

import avseg
from avseg.checkpoints import PACKAGED_MODELS, Checkpoint
from avseg.cli.main import app, run
from tests.media.videos import Track
from tests.segmenters import (
    make_video,
    save_random_cascade,
    save_random_model,
    save_random_text_model,
    silence,
    tone,
)
from tests.test_public_api import HEAVY, modules_loaded_by


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model."""
    return save_random_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="module")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model that is prompted by the words dog, cat and bus."""
    return save_random_text_model(tmp_path_factory.mktemp("models") / "random_text")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segment without a worker process, which needs seconds to load torch."""
    monkeypatch.setattr(avseg, "segment", partial(avseg.segment, isolate=False))


def segment(*arguments: object) -> int:
    return run(app, ["segment", *map(str, arguments)])


def rows(shown: str) -> list[list[str]]:
    """Return the cells of the printed table, without its header; wrapped cells are joined."""
    lines = [line for line in shown.splitlines() if line.startswith("│")]
    joined: list[list[str]] = []
    for line in lines:
        cells = [cell.strip() for cell in line.strip("│").split("│")]
        if cells[0]:
            joined.append(cells)
        else:
            pairs = zip(joined[-1], cells, strict=True)
            joined[-1] = [f"{first} {rest}".strip() for first, rest in pairs]
    return joined


def test_help_loads_nothing_heavy() -> None:
    code = "from avseg.cli.main import app, run\nassert run(app, ['segment', '--help']) == 0"
    assert not modules_loaded_by(code) & HEAVY


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert segment("--help") == 0
    shown = capsys.readouterr().out
    for option in ("-o", "--model", "--device", "--threshold", "--frames-per-second", "--text"):
        assert option in shown
    assert "--memory" in shown
    assert "--image-size" in shown
    assert "--stall-limit" in shown
    assert "--audio-track" in shown
    assert "--no-overlay" in shown
    assert "--silent-ok" in shown
    assert "--offline" in shown
    assert "--no-silent-ok" not in shown


def test_each_video_gets_its_folder_and_its_row(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(Path("loud.mp4"), tone(2))
    make_video(Path("quiet.mp4"), silence(2))
    assert segment("loud.mp4", "quiet.mp4", "-o", "out", "--model", model) == 0
    for name in ("loud", "quiet"):
        assert sorted(path.name for path in Path("out", name).iterdir()) == [
            "masks",
            "overlay.mp4",
            "result.json",
        ]
        assert len(list(Path("out", name, "masks").iterdir())) == 20
    loud, quiet = rows(capsys.readouterr().out)
    assert loud[:2] == ["loud", "20"]
    status = "written: no audio above -70 dBFS"
    assert quiet == ["quiet", "20", "0.0 of 2.0 s", "0.0%", "0.00", status]


def test_a_row_without_a_mask_says_why(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video(tmp_path / "loud.mp4", tone(1), seconds=1)
    make_video(tmp_path / "mute.mp4", seconds=1)
    options = ("-o", tmp_path / "out", "--model", model, "--no-overlay", "--silent-ok")
    expected = {"loud": "audio, but nothing marked", "mute": "no audio track in the file"}
    for status in ("written", "already complete"):
        assert segment(tmp_path, *options, "--threshold", 0.999999) == 0
        shown = rows(capsys.readouterr().out)
        assert {row[0]: row[-1] for row in shown} == {
            name: f"{status}: {reason}" for name, reason in expected.items()
        }
    for name, reason in expected.items():
        result = json.loads((tmp_path / "out" / name / "result.json").read_text())
        assert result["summary"]["empty_because"] == reason


def test_a_warning_about_a_video_is_in_its_row_and_its_result(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = tone(1).samples
    make_video(tmp_path / "a.mkv", Track(np.concatenate([left, -left]), layout="stereo"), seconds=1)
    options = ("-o", tmp_path / "out", "--model", model, "--no-overlay")
    assert segment(tmp_path / "a.mkv", *options) == 0
    assert rows(capsys.readouterr().out)[0][-1].endswith("; 1 warning")
    result = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    (warning,) = result["summary"]["warnings"]
    assert "cancel each other" in warning


def test_low_memory_and_image_size_are_options(model: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    options = ("--model", model, "--memory", "low", "--image-size", 32, "--no-overlay")
    assert segment(video, "-o", tmp_path / "out", *options) == 0
    result = json.loads((tmp_path / "out" / "a" / "result.json").read_text())
    assert result["settings"]["image_size"] == 32


def test_an_impossible_image_size_is_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    assert segment(video, "-o", tmp_path / "out", "--model", model, "--image-size", 50) == 1
    assert "multiple of 32" in capsys.readouterr().err


def test_a_folder_means_all_videos_in_it(model: Path, tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    make_video(tmp_path / "b.mkv", silence(1), seconds=1)
    assert segment(tmp_path, "-o", tmp_path / "out", "--model", model, "--no-overlay") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a", "b"]
    assert not (tmp_path / "out" / "a" / "overlay.mp4").exists()


def test_results_are_announced_only_if_there_are_some(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment("gone.mp4", "-o", tmp_path / "out", "--model", model) == 1
    assert "Results are in" not in capsys.readouterr().out
    make_video(tmp_path / "tone.mp4", tone(1), seconds=1)
    assert segment(tmp_path / "tone.mp4", "gone.mp4", "-o", tmp_path / "out", "--model", model) == 1
    assert "Results are in" in capsys.readouterr().out


def test_an_error_in_one_video_is_printed_and_does_not_stop_the_others(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(Path("mute.mp4"))
    make_video(Path("whole.mp4"), silence(1), seconds=1)
    assert segment("gone.mp4", "mute.mp4", "whole.mp4", "-o", "out", "--model", model) == 1
    assert [path.name for path in Path("out").iterdir()] == ["whole"]
    captured = capsys.readouterr()
    assert "error: gone.mp4: there is no such file; check the path.\n" in captured.err
    assert "error: mute.mp4: has no audio track" in captured.err
    assert [(row[0], row[-1]) for row in rows(captured.out)] == [
        ("gone", "NotAVideoError"),
        ("mute", "NoAudioStreamError"),
        ("whole", "written: no audio above -70 dBFS"),
    ]


def test_silent_ok_accepts_a_video_without_audio(model: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "mute.mp4")
    assert segment(video, "-o", tmp_path / "out", "--model", model, "--silent-ok") == 0


@pytest.mark.parametrize(
    ("value", "used"), [("1", [1]), ("2", [2]), ("mix", [1, 2]), ("auto", [2])]
)
def test_the_audio_track_is_chosen_by_number_or_word(
    value: str, used: list[int], model: Path, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "two.mp4", silence(1), tone(1), seconds=1)
    options = ("--model", model, "--frames-per-second", 1, "--audio-track", value)
    assert segment(video, "-o", tmp_path / "out", *options) == 0
    result = json.loads((tmp_path / "out" / "two" / "result.json").read_text())
    assert result["audio"]["used"] == used


@pytest.mark.parametrize("value", ["0", "-1", "foo", "1.5", "", "2,3", "+"])
def test_another_audio_track_is_wrong_usage(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert segment("a.mp4", "-o", "out", f"--audio-track={value}") == 2
    assert "counted from 1" in capsys.readouterr().err


def test_each_text_is_a_named_source(
    text_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "mute.mp4", seconds=1)
    arguments = ("-o", tmp_path / "out", "--model", text_model, "--no-overlay")
    assert segment(video, *arguments, "--text", "a dog", "--text", "bus") == 0
    result = json.loads((tmp_path / "out" / "mute" / "result.json").read_text())
    assert result["settings"]["texts"] == ["a dog", "bus"]
    assert set(result["summary"]["sources"]) <= {"a dog", "bus"}
    assert rows(capsys.readouterr().out)[0][:2] == ["mute", "10"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "there is no text; give at least one text prompt"),
        (["--text", ""], "text '' is empty"),
        (
            ["--text", "the zebra"],
            "unknown words (zebra); the words of this model are nothing, dog, cat",
        ),
        (["--text", "dog cat bus dog"], "has 4 tokens for EVF-SAM, which takes 3; shorten it"),
    ],
)
def test_an_invalid_text_is_an_error_before_any_work(
    options: list[str],
    message: str,
    text_model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert segment(tmp_path / "a.mp4", "-o", tmp_path / "out", "--model", text_model, *options) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_text_for_a_model_that_uses_the_audio_is_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (tmp_path / "a.mp4", "-o", tmp_path / "out", "--model", model, "--text", "dog")
    assert segment(*arguments) == 1
    assert "random marks sounding objects and takes no text, got 'dog'" in capsys.readouterr().err


def test_predicted_names_are_in_the_result_and_in_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cascade = save_random_cascade(tmp_path / "cascade")
    video = make_video(tmp_path / "loud.mp4", tone(1), seconds=1)
    arguments = ("-o", tmp_path / "out", "--model", cascade, "--no-overlay")
    assert segment(video, *arguments, "--vocabulary", "dog, bus") == 0
    result = json.loads((tmp_path / "out" / "loud" / "result.json").read_text())
    assert result["settings"]["vocabulary"] == ["dog", "bus"]
    marked = result["summary"]["sources"]
    assert marked.keys() <= {"dog", "bus"}
    shown = capsys.readouterr().out
    assert "sources" in shown
    assert all(name in shown for name in marked)


def test_a_complete_result_is_skipped(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    arguments = (video, "-o", tmp_path / "out", "--model", model, "--no-overlay")
    shown = []
    for _ in range(2):
        assert segment(*arguments) == 0
        shown.append(rows(capsys.readouterr().out)[0][-1])
    assert [status.partition(":")[0] for status in shown] == ["written", "already complete"]


def test_two_videos_of_one_name_keep_their_suffixes(model: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "a.mkv"):
        make_video(tmp_path / name, silence(1), seconds=1)
    assert segment(tmp_path, "-o", tmp_path / "out", "--model", model, "--no-overlay") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a_mkv", "a_mp4"]


def test_the_notice_of_a_packaged_model_is_printed(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(
        PACKAGED_MODELS, "known", Checkpoint("known", model, "MIT", "a world of its own")
    )
    video = make_video(tmp_path / "a.mp4", silence(1), seconds=1)
    assert segment(video, "-o", tmp_path / "out", "--model", "known", "--no-overlay") == 0
    assert "known: this model was trained on a world of its own only" in capsys.readouterr().err


def test_a_missing_published_model_is_an_error_when_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AVSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    video = tmp_path / "a.mp4"
    video.touch()
    assert segment(video, "-o", tmp_path / "out", "--model", "evf-sam2", "--offline") == 1
    assert "YxZhang/evf-sam2: " in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--model", "av2t-sam-huge"], 1, "no model has that name"),
        (["--threshold", "1.5"], 2, "1.5"),
        (["--frames-per-second", "0"], 2, "0"),
        (["--stall-limit", "0"], 2, "0"),
        (["--colour", "red"], 2, "--colour"),
    ],
)
def test_a_wrong_option_is_an_error_before_any_work(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert segment(tmp_path / "a.mp4", "-o", tmp_path / "out", *arguments) == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_an_error(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert segment(tmp_path, "-o", tmp_path / "out", "--model", model) == 1
    assert "contains no video file" in capsys.readouterr().err


def test_a_crash_is_the_row_of_its_video_and_the_others_are_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(avseg, "segment", partial(avseg.segment, isolate=True))
    monkeypatch.setattr("avseg.batch.supervisor.WORKER_MODULE", "tests.batch.crashing_worker")
    for name in ("a", "hang", "segfault", "z"):
        make_video(tmp_path / f"{name}.mkv", seconds=1)
    options = ("--model", model, "--no-overlay", "--stall-limit", 1)
    assert segment(tmp_path, "-o", tmp_path / "out", *options) == 1
    captured = capsys.readouterr()
    assert {row[0]: row[-1] for row in rows(captured.out)} == {
        **dict.fromkeys(("a", "z"), "written"),
        "hang": "StallError",
        "segfault": "WorkerDiedError",
    }
    assert f"error: {tmp_path}/hang.mkv: there was no progress for 1 s" in captured.err
    assert f"error: {tmp_path}/segfault.mkv: the worker process crashed (SIGSEGV)" in captured.err
    assert "Results are in" in captured.out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"a", "z"}
