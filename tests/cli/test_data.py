"""The commands `avseg data synthesize` and `avseg data check`."""

import json
import wave
from pathlib import Path

import pytest
from PIL import Image

from avseg.cli.main import app, run
from avseg.datasets import AVSBench


def synthesize(*arguments: str) -> int:
    return run(app, ["data", "synthesize", *arguments])


def test_synthesize_writes_a_data_set_and_prints_a_summary(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--subset", "ms3", "--out", str(tmp_path), "--clips", "2", "--seed", "3"]
    arguments += ["--evaluation-clips", "1", "--workers", "1"]
    assert synthesize(*arguments) == 0
    summary = capsys.readouterr().out
    assert summary.startswith(f"{tmp_path / 'Multi-sources'}: 6 clips (train 2, val 1, test 1,")
    assert len(AVSBench(tmp_path, "ms3", "train")) == 2

    assert synthesize(*arguments) == 0
    assert "already there" in capsys.readouterr().out


def test_negatives_of_avss_are_an_error_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--subset", "avss", "--out", str(tmp_path / "data"), "--clips", "1", "--negatives"]
    assert synthesize(*arguments) == 1
    assert "of s4 and ms3 only" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ["--subset", "s5", "--clips", "2"],
        ["--subset", "s4", "--clips", "0"],
        ["--subset", "s4", "--clips", "2", "--seed", "-1"],
        ["--subset", "s4", "--clips", "2", "--workers", "0"],
    ],
    ids=" ".join,
)
def test_options_out_of_range_end_with_2(arguments: list[str], tmp_path: Path) -> None:
    assert synthesize(*arguments, "--out", str(tmp_path)) == 2
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_ends_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "Single-source").mkdir()
    (tmp_path / "Single-source/mine.txt").touch()
    assert synthesize("--subset", "s4", "--clips", "1", "--out", str(tmp_path)) == 1
    assert "choose another folder" in capsys.readouterr().err


def write_a_clip(folder: Path) -> None:
    """Write MS3 with one clip."""
    frames, masks = folder / "ms3_data/visual_frames/a_0", folder / "ms3_data/gt_masks/test/a_0"
    sounds = folder / "ms3_data/audio_wav/test"
    for path in (frames, masks, sounds):
        path.mkdir(parents=True)
    for number in range(1, 6):
        Image.new("RGB", (224, 224)).save(frames / f"a_0.mp4_{number}.png")
        Image.new("L", (224, 224)).save(masks / f"a_0_{number}.png")
    with wave.open(str(sounds / "a_0.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 5 * 16000))
    (folder / "ms3_meta_data.csv").write_text("video_name,split\na_0,test\n")


def test_check_of_an_intact_data_set_ends_with_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_a_clip(tmp_path)
    assert run(app, ["data", "check", str(tmp_path), "--workers", "1"]) == 0
    summary = capsys.readouterr().out.splitlines()
    assert summary == ["ms3: test 1", f"{tmp_path}: 0 errors, 0 warnings"]


def test_check_prints_the_findings_and_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_a_clip(tmp_path)
    (tmp_path / "ms3_data/audio_wav/test/a_0.wav").unlink()
    report = tmp_path / "report.json"
    arguments = ["data", "check", str(tmp_path), "--workers", "1", "--json", str(report)]
    assert run(app, arguments) == 1
    summary = capsys.readouterr().out
    assert "sound-missing: unpack or copy the data set again" in summary
    assert summary.endswith(f"{tmp_path}: 1 errors, 0 warnings\n")
    assert json.loads(report.read_text())["errors"] == 1


def test_check_of_no_data_set_ends_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(app, ["data", "check", str(tmp_path)]) == 1
    assert "contains no data set" in capsys.readouterr().err
