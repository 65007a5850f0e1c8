"""Tests of `avseg segment` in a new process, from the command to the files, with random weights."""

import json
import os
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
from tests.processes import needs_proc, wait_until_ended
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


@needs_proc
@pytest.mark.parametrize(
    ("end", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
    ids=["interrupted", "terminated", "killed"],
)
def test_an_interrupted_command_leaves_no_file_and_no_process(
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
        (worker,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(end)
    assert process.returncode == code
    # The worker process of a killed command removes its unfinished output itself.
    assert wait_until_ended([int(worker)])
    assert list(out.iterdir()) == []


#: Imported by Python at the start of each process; crashes the one that writes a mask of `bad`.
CRASH = """
import ctypes, resource
from avseg.export import png
saved = png.save_mask
def save_mask(mask, path):
    saved(mask, path)
    if "bad.partial" in str(path):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        ctypes.string_at(0)
png.save_mask = save_mask
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and resource")
def test_a_crash_in_native_code_is_the_error_of_one_video(model: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    for name in ("after", "bad", "before"):
        make_video(tmp_path / f"{name}.mkv", tone(1), seconds=1)
    out = tmp_path / "out"
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [*COMMAND, "segment", tmp_path, "-o", out, "--model", model, "--no-overlay"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "bad.mkv: the worker process crashed (SIGSEGV) in a native library" in done.stderr
    assert "WorkerDiedError" in done.stdout
    assert sorted(path.name for path in out.iterdir()) == ["after", "before"]
