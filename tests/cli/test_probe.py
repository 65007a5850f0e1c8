"""`avseg probe`: the table at 80 columns, JSON, bad files, and exit codes."""

import json
from pathlib import Path

import pytest

import avseg
from avseg.cli.main import app, run
from tests.media.videos import Picture, Track, level, write
from tests.test_public_api import HEAVY, modules_loaded_by


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Write a video with a silent default track and one with sound, as a screen recorder does."""
    return write(
        tmp_path / "recording.mp4",
        [Picture(times_ms=[0, 100, 200, 900], rotation=90)],
        [
            Track(level(0.0, 1), codec="aac", default=True),
            Track(level(0.5, 1, 48000), 48000, codec="aac", language="deu", title="Ton [1]"),
        ],
    )


def probe(*arguments: object) -> int:
    return run(app, ["probe", *map(str, arguments)])


def test_it_loads_nothing_heavy() -> None:
    code = "from avseg.cli.main import app, run\nassert run(app, ['probe', 'nothing.mp4']) == 1"
    assert not modules_loaded_by(code) & HEAVY


def test_the_facts_are_a_table_of_80_columns(
    video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(video.parent)
    assert probe(video.name) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    rows = {
        cells[0]: cells[1]
        for line in shown.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│").split("│")]) == 2
    }
    assert rows == {
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
        "start": "0.000 s",
        "duration": "1.000 s",
        "picture": "h264, 48 x 64, stored rotated by 90°",
        "pixel format": "yuv420p",
        "frame rate": "4 per second, variable",
        "frames": "4",
        "colour": "not described",
        "dynamic range": "standard",
        "interlaced": "no",
        "alpha channel": "no",
        "timecode": "none",
        "audio": "track 2: the default track, 1, is digitally silent",
    }
    tracks = [
        [cell.strip() for cell in line.strip("│").split("│")]
        for line in shown.splitlines()
        if line.count("│") == 9
    ]
    assert tracks == [
        ["", "1", "aac", "16000 Hz", "mono", "", "yes", ""],
        ["*", "2", "aac", "48000 Hz", "mono", "deu", "", "Ton [1]"],
    ]
    assert "warning: audio track 2 is used" in shown


def test_a_video_without_audio_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(write(tmp_path / "mute.mkv")) == 0
    shown = capsys.readouterr().out
    assert "none: the file has no audio track" in shown
    assert "not announced" in shown


def test_json_has_the_facts_of_result_json(video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert probe(video, "--json") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert set(entry) == {"path", "video", "audio", "warnings"}
    assert entry["audio"]["used"] == [2]
    assert [track["number"] for track in entry["video"]["audio_tracks"]] == [1, 2]
    assert entry["video"]["width"] == avseg.probe(video).width == 48
    assert len(entry["warnings"]) == 1


@pytest.mark.parametrize("option", [[], ["--json"]])
def test_a_bad_file_does_not_stop_the_others(
    option: list[str], video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no video\n" * 100)
    assert probe(text, tmp_path / "gone.mp4", video, *option) == 1
    captured = capsys.readouterr()
    assert "recording.mp4" in captured.out
    assert captured.err.count("error: ") == 2
    if option:
        first, second, third = json.loads(captured.out)
        assert (first["error"], second["error"]) == ("NotAVideoError", "NotAVideoError")
        assert "there is no such file" in second["message"]
        assert third["video"]["frame_count"] == 4
