"""Negative audio of SynthAVS, read like AVSBench-Robust."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avseg.datasets import AVSBench
from avseg.datasets.checking import check_data
from avseg.datasets.layout import Subset
from avseg.errors import DatasetError, OutputError
from avseg.synthavs.generators import SynthavsOptions, draw_clip
from avseg.synthavs.negatives import write_negatives
from avseg.synthavs.writer import write_synthavs

OPTIONS = SynthavsOptions(subset="ms3", clips=1, evaluation_clips=2, side=32)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("negatives")
    write_synthavs(root, OPTIONS, workers=1)
    write_negatives(root, OPTIONS, workers=1)
    return root


@pytest.mark.parametrize("subset", ["ms3_misaligned", "ms3_noise", "ms3_silent"])
def test_only_the_audio_differs(subset: Subset, root: Path) -> None:
    for true, negative in zip(
        AVSBench(root, "ms3", "test"), AVSBench(root, subset, "test"), strict=True
    ):
        assert (negative.clip.frames == true.clip.frames).all()
        assert (negative.masks == true.masks).all()
        assert np.abs(negative.clip.audio - true.clip.audio).max() > 0.01


def test_noise_is_as_loud_as_the_clip_and_white(root: Path) -> None:
    noise = AVSBench(root, "ms3_noise", "val")[1].clip.audio
    true = draw_clip(OPTIONS, "val", 1).audio
    assert np.std(noise) == pytest.approx(np.std(true), rel=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    low, high = np.array_split(power, 2)
    assert low.mean() == pytest.approx(high.mean(), rel=0.1)


def test_silence_is_silent(root: Path) -> None:
    assert not AVSBench(root, "ms3_silent", "test")[0].clip.audio.any()


def test_the_audio_is_complete_and_never_the_clips_own(root: Path) -> None:
    report = check_data(root, workers=1)
    for kind in ("ms3_misaligned", "ms3_noise", "ms3_silent"):
        assert report.findings[kind] == []
    assert report.clips["ms3_misaligned"] == dict.fromkeys(
        ("val", "test", "test_seen", "test_zero_shot"), 2
    )


def test_existing_audio_is_kept(root: Path) -> None:
    path = next((root / "avsbench_neg_data").rglob("*.wav"))
    path.write_bytes(b"mine")
    write_negatives(root, OPTIONS, workers=1)
    assert path.read_bytes() == b"mine"
    with pytest.raises(OutputError, match=r"seed 0; this one would have seed 1"):
        write_negatives(root, replace(OPTIONS, seed=1), workers=1)


def test_the_semantic_subset_has_none(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"avss: AVSBench-Robust has .* of s4 and ms3 only"):
        write_negatives(tmp_path, SynthavsOptions(subset="avss", clips=1))


def test_version_3_has_coloured_noise_and_off_screen_sounds(tmp_path: Path) -> None:
    options = replace(OPTIONS, generator_version=3, evaluation_clips=1)
    write_synthavs(tmp_path, options, workers=1)
    write_negatives(tmp_path, options, workers=1)
    report = check_data(tmp_path, workers=1)
    for kind in ("ms3_misaligned", "ms3_noise", "ms3_silent"):
        assert report.findings[kind] == []
    true = draw_clip(options, "test", 0).audio
    noise = AVSBench(tmp_path, "ms3_noise", "test")[0].clip.audio
    assert np.std(noise) == pytest.approx(np.std(true), rel=0.15)
    assert abs(np.corrcoef(noise, true)[0, 1]) < 0.1
