"""Reading of single image and audio files, intact and damaged."""

import os
import struct
import wave
import zlib
from collections.abc import Callable
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


def save_png_header(path: Path, width: int, height: int) -> None:
    """Write a PNG of few bytes whose header announces the given size."""
    chunks = b""
    for kind, content in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(100))),
        (b"IEND", b""),
    ):
        checksum = zlib.crc32(kind + content)
        chunks += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunks)


@pytest.mark.parametrize("size", [(20_000, 20_000), (9_000, 8_000), (1_000_000, 4)])
def test_an_image_that_announces_a_huge_size_raises(size: tuple[int, int], tmp_path: Path) -> None:
    save_png_header(tmp_path / "frame.png", *size)
    with pytest.raises(DatasetError, match=r"frame.png: .*copy the file again"):
        read_image(tmp_path / "frame.png", "RGB")


@pytest.mark.parametrize("error", [MemoryError(), KeyError("ihdr"), Image.DecompressionBombError()])
def test_any_error_of_the_image_decoder_names_the_file(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise error

    (tmp_path / "frame.png").touch()
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(DatasetError, match=r"frame.png: cannot be read as an image \(.+\)"):
        read_image(tmp_path / "frame.png")


@pytest.mark.parametrize("read", [read_image, read_mask, audio_duration_s])
def test_a_pipe_in_the_place_of_a_file_raises_at_once(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DatasetError, match="pipe: is a folder, pipe or device"):
        read(tmp_path / "pipe")


def save_wav(path: Path, changes: dict[int, bytes]) -> None:
    """Write five seconds of audio, and overwrite bytes of the file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.full(5 * 16000, 99, "<i2").tobytes())
    content = bytearray(path.read_bytes())
    for place, values in changes.items():
        content[place : place + len(values)] = values
    path.write_bytes(content)


@pytest.mark.parametrize(
    "changes",
    [
        {12: b"fm\x7f "},  # no chunk "fmt "
        {16: b"\x10\x00\x00\x7f"},  # a chunk "fmt " of two gigabytes
        {24: bytes(4)},  # 0 Hz
        {24: b"\x80\x3e\x00\x7f"},  # two billion Hz
        {22: bytes(2)},  # no channels
        {34: bytes(2)},  # no bits
    ],
    ids=["no-fmt", "long-fmt", "rate-0", "rate-2-GHz", "no-channels", "no-bits"],
)
def test_a_wav_with_a_broken_header_raises(changes: dict[int, bytes], tmp_path: Path) -> None:
    save_wav(tmp_path / "a.wav", changes)
    with pytest.raises(DatasetError, match=r"a.wav: "):
        read_audio(tmp_path / "a.wav", 16000, 5)


def test_a_wav_that_ends_within_a_sample_raises(tmp_path: Path) -> None:
    save_wav(tmp_path / "a.wav", {})
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:80_001])
    with pytest.raises(DatasetError, match=r"a.wav: the audio ends early, at 2.50 s of 5.00 s"):
        read_audio(tmp_path / "a.wav", 16000, 5)


def test_a_path_of_an_impossible_name_raises(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no such file"):
        read_image(tmp_path / ("a" * 300) / "frame.png")
