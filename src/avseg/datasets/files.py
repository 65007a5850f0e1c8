"""Single files of a data set: pictures and sounds, and what is said of one that cannot be read.

H x W pixels, S samples of sound.
"""

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avseg.errors import ClipError, DatasetError
from avseg.media.audio import AudioTrack
from avseg.media.container import open_media, promised_end_s


def read_image(path: Path, mode: str | None = None) -> NDArray[np.uint8]:
    """Read a picture.

    Args:
        path: The file.
        mode: One of Pillow's modes to convert to; None leaves the values as they are stored (of a
            palette image the indices, of a one-bit image 0 and 255).

    Returns:
        Pixels, (H, W) or (H, W, channels).

    Raises:
        DatasetError: If there is no such file, or not all of it.
    """
    try:
        with Image.open(path) as image:
            if mode is None and image.mode == "1":
                return np.asarray(image.convert("L"))
            return np.asarray(image if mode in {None, image.mode} else image.convert(mode))
    except FileNotFoundError as error:
        raise missing(path) from error
    # What Pillow raises of damaged files: of a broken part of a PNG a SyntaxError.
    except (OSError, SyntaxError, ValueError) as error:
        raise DatasetError(
            f"{path}: cannot be read as an image ({error}); copy it again."
        ) from error


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask or a map of class numbers, as it is stored.

    Args:
        path: The file.

    Returns:
        Values, (H, W): as `read_image`, of several channels the highest; alpha does not count.

    Raises:
        DatasetError: If there is no such file, or not all of it.
    """
    values = read_image(path)
    if values.ndim == 2:
        return values
    colours = values.shape[-1] - (values.shape[-1] in {2, 4})
    highest: NDArray[np.uint8] = values[..., :colours].max(axis=-1)
    return highest


def read_audio(path: Path, sample_rate: int, seconds: int) -> NDArray[np.float32]:
    """Read the beginning of a sound.

    Args:
        path: The file; anything that PyAV reads.
        sample_rate: To which it is resampled, in Hz.
        seconds: How much of it.

    Returns:
        Mono samples in [-1, 1], (seconds * sample_rate,); sound that ends earlier is followed by
        silence.

    Raises:
        DatasetError: If there is no such file, it is damaged, or it holds no sound.
    """
    if not path.is_file():
        raise missing(path)
    count = seconds * sample_rate
    audio = _read_plain_wav(path, sample_rate, count)
    if audio is None:
        audio = _decode_audio(path, sample_rate, count)
    return audio


def audio_duration_s(path: Path) -> float:
    """Say how long a sound is by what its file promises, without decoding it.

    Args:
        path: The file; anything that PyAV reads.

    Returns:
        Length in seconds; 0 if the file does not say.

    Raises:
        DatasetError: If it is no sound.
    """
    try:
        with wave.open(str(path), "rb") as file:
            return file.getnframes() / file.getframerate()
    except (wave.Error, EOFError):
        pass  # another kind of file
    try:
        with open_media(path) as container:
            streams = container.streams.audio
            return (promised_end_s(streams[0]) or 0.0) if streams else 0.0
    except ClipError as error:
        raise DatasetError(f"{path}: the sound cannot be read: {error.problem}") from error


def missing(path: Path) -> DatasetError:
    """Say that a file is not there, and up to where its folders are.

    Args:
        path: The file.

    Returns:
        The error to raise.
    """
    parent = path.parent
    while not parent.exists():
        parent = parent.parent
    return DatasetError(
        f"{path}: there is no such file (what is there ends at {parent}); the data set is not "
        "complete, or not in AVSBench's layout: unpack or copy it again, and see what "
        "`avseg data check` says."
    )


def _read_plain_wav(path: Path, sample_rate: int, count: int) -> NDArray[np.float32] | None:
    """Read a 16-bit WAV file that has the wanted rate; for any other return None.

    This is what AVSBench's files are, and ten times as fast as the general way.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2 or file.getframerate() != sample_rate:
                return None
            channels, promised = file.getnchannels(), file.getnframes()
            samples = np.frombuffer(file.readframes(count), "<i2")
    except (wave.Error, EOFError):
        return None
    if len(samples) != min(count, promised) * channels:
        raise DatasetError(
            f"{path}: the sound ends early, at {len(samples) / channels / sample_rate:.2f} s of "
            f"{promised / sample_rate:.2f} s; copy it again."
        )
    mono = samples.reshape(-1, channels).mean(axis=1, dtype=np.float32) / np.float32(32768)
    return np.pad(mono, (0, count - len(mono)))


def _decode_audio(path: Path, sample_rate: int, count: int) -> NDArray[np.float32]:
    """Read any sound, and resample it."""
    try:
        with open_media(path) as container:
            if not container.streams.audio:
                raise DatasetError(f"{path}: holds no sound; copy it again.")
            sound = AudioTrack(container, container.streams.audio[0], sample_rate, str(path))
            audio = sound.read(0, count)
            damage = sound.damage()
    except ClipError as error:
        damage, audio = error, np.zeros(0, np.float32)
    if damage is not None:
        raise DatasetError(f"{path}: the sound cannot be read: {damage.problem}") from damage
    return audio
