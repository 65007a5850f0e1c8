"""Reading of single image and audio files, intact and damaged."""

import wave
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from avseg.datasets.files import audio_duration_s, read_audio, read_image, read_mask
from avseg.errors import DatasetError

DRAWN = np.array([[0, 0, 9], [0, 9, 9]], np.uint8)


def save_flac(path: Path, seconds: float) -> None:
    with av.open(str(path), "w", format="flac") as container:
        stream = container.add_stream("flac", rate=8000, layout="mono")
        samples = np.full((1, round(8000 * seconds)), 4000, np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA", "I;16"])
def test_a_mask_is_read_from_its_colours_without_alpha(mode: str, tmp_path: Path) -> None:
    if mode == "I;16":
        Image.fromarray(DRAWN.astype(np.uint16)).save(tmp_path / "mask.png")
    else:
        Image.fromarray(DRAWN).convert(mode).save(tmp_path / "mask.png")
    assert (read_mask(tmp_path / "mask.png") == DRAWN).all()


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_truncated_image_raises(kept: float, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: round(kept * len(content))])
    with pytest.raises(DatasetError, match=r"picture.*: cannot be read as an image"):
        read_image(path)


def test_a_png_with_changed_bytes_raises(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"picture.png: cannot be read as an image"):
        read_image(path)


def test_the_length_of_audio_is_read_without_decoding(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((2, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 2 * 12000))
    save_flac(tmp_path / "b.flac", 1.25)
    assert audio_duration_s(tmp_path / "a.wav") == 1.5
    assert audio_duration_s(tmp_path / "b.flac") == pytest.approx(1.25)


def test_the_length_of_a_file_that_is_no_audio_raises(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"nothing of the kind" * 50)
    with pytest.raises(DatasetError, match=r"a.wav: the audio cannot be read"):
        audio_duration_s(tmp_path / "a.wav")


def test_other_formats_than_wav_are_read_too(tmp_path: Path) -> None:
    save_flac(tmp_path / "a.wav", 1.25)
    audio = read_audio(tmp_path / "a.wav", 8000, 2)
    assert audio.shape == (16000,)
    assert audio[:9900] == pytest.approx(4000 / 32768, abs=1e-4)
    assert not audio[10_100:].any()
