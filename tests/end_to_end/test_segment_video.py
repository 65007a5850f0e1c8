"""Tests of `avseg segment` in a new process, from the command to the files, with random weights."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import avseg
from avseg.export import decode_mask
from tests.segmenters import make_video, save_random_model, tone

COMMAND = [sys.executable, "-c", "import sys; from avseg.cli.main import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random model."""
    return save_random_model(tmp_path_factory.mktemp("models") / "random")


def test_a_video_gets_overlay_masks_and_result_json(model: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mkv", tone(2))
    arguments = ["segment", str(video), "-o", str(tmp_path / "out"), "--model", str(model)]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [*COMMAND, *arguments], capture_output=True, text=True, check=True
    )
    assert "written" in done.stdout
    folder = tmp_path / "out" / "a"
    result = json.loads((folder / "result.json").read_text())
    masks = [np.asarray(Image.open(path)) > 0 for path in sorted((folder / "masks").iterdir())]
    assert [frame["time_s"] for frame in result["frames"]] == pytest.approx(np.arange(20) / 10)
    for frame, mask in zip(result["frames"], masks, strict=True):
        assert mask.shape == (48, 64)
        np.testing.assert_array_equal(decode_mask(frame["rle"]), mask)
    overlay = avseg.probe(folder / "overlay.mp4")
    assert (overlay.height, overlay.width, overlay.audio_codec) == (48, 64, "aac")


def test_the_python_api_writes_masks_and_an_overlay(model: Path, tmp_path: Path) -> None:
    video = make_video(tmp_path / "a.mp4", tone(1), seconds=1)
    segmentation = avseg.load_segmenter(model)(video)
    avseg.save_masks(segmentation, tmp_path / "masks")
    report = avseg.save_overlay(segmentation, tmp_path / "overlay.mp4")
    assert len(list((tmp_path / "masks").iterdir())) == 10
    with av.open(str(report.path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10


@pytest.mark.parametrize(
    ("end", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["interrupted", "terminated", "killed"],
)
def test_an_interrupted_command_leaves_no_result_folder(
    end: signal.Signals, code: int, model: Path, tmp_path: Path
) -> None:
    video = make_video(tmp_path / "a.mp4", tone(120), seconds=120)
    out = tmp_path / "out"
    arguments = ["segment", str(video), "-o", str(out), "--model", str(model)]
    with subprocess.Popen(  # noqa: S603 - our own interpreter
        [*COMMAND, *arguments],
        # A background job of a shell ignores SIGINT, and so would its child processes.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        while not list(out.glob(".a.partial-*/masks/*.png")):
            assert process.poll() is None, "the command ended before its first mask"
            time.sleep(0.05)
        process.send_signal(end)
    assert process.returncode == code
    assert not [path for path in out.iterdir() if not path.name.startswith(".")]
