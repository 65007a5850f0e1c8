"""Single image and audio files of a data set, with errors that name the file.

H x W is the size of an image in pixels, R the number of rows of audio: the mono mix alone, or
followed by the left and the right channel.
"""

import os
import struct
import wave
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from avseg.errors import ClipError, DatasetError
from avseg.media.audio import AudioTrack
from avseg.media.container import announced_end_s, open_media
from avseg.media.mono import left_and_right

#: Largest number of pixels of an image, that of 8192 x 8192. Frames and masks are far smaller; a
#: damaged header can announce an image that does not fit into memory.
_MAX_PIXELS = 2**26

#: Largest sample rate of audio, in Hz, the highest of any common format. A damaged header can
#: announce a rate whose resampling does not fit into memory.
_MAX_SAMPLE_RATE = 768_000

#: Errors that decoders raise for damaged files, beside the errors of their own. Pillow and `wave`
#: parse headers in Python, so that changed bytes can cause almost any of them.
_DECODER_ERRORS = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


def is_file(path: Path) -> bool:
    """Return whether a path is a regular file; also False if the path itself is not valid.

    Args:
        path: The path, which may contain a name of any length from a metadata file.

    Returns:
        Whether it is a regular file, or a link to one.
    """
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises an error for a long name


def read_image(path: Path, mode: str | None = None) -> NDArray[np.uint8]:
    """Read an image file.

    Args:
        path: Path of the file.
        mode: Pillow mode to convert to, such as "RGB". None keeps the stored values: the indices of
            a palette image, and 0 and 255 of a one-bit image.

    Returns:
        Pixel values, (H, W) or (H, W, channels) uint8.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    check_is_file(path)
    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                raise DatasetError(
                    f"{path}: has {image.width} x {image.height} pixels by its header; copy the "
                    "file again."
                )
            # numpy would read one-bit images as bool; "L" gives 0 and 255 like other masks.
            if mode is None and image.mode == "1":
                return np.asarray(image.convert("L"))
            return np.asarray(image if mode in {None, image.mode} else image.convert(mode))
    except (*_DECODER_ERRORS, Image.DecompressionBombError) as error:
        raise DatasetError(
            f"{path}: cannot be read as an image ({_describe(error)}); copy the file again."
        ) from error


def read_mask(path: Path) -> NDArray[np.uint8]:
    """Read a mask or a map of class numbers with its stored values.

    Args:
        path: Path of the file.

    Returns:
        Values as in `read_image`, (H, W) uint8; the maximum over colour channels, without alpha.

    Raises:
        DatasetError: If the file is missing or damaged.
    """
    values = read_image(path)
    if values.ndim == 2:
        return values
    colours = values.shape[-1] - (values.shape[-1] in {2, 4})  # 2 and 4 channels: the last is alpha
    highest: NDArray[np.uint8] = values[..., :colours].max(axis=-1)
    return highest


def read_audio(path: Path, sample_rate: int, seconds: int) -> NDArray[np.float32]:
    """Read the first seconds of an audio file.

    Args:
        path: Path of the file, in any format that PyAV reads.
        sample_rate: Sample rate to which the audio is resampled, in Hz.
        seconds: Length to read, in seconds.

    Returns:
        Mono samples in [-1, 1], (seconds * sample_rate,) float32; shorter audio is padded with
        zeros.

    Raises:
        DatasetError: If the file is missing, damaged, or has no audio.
    """
    mono: NDArray[np.float32] = read_audio_rows(path, sample_rate, seconds, 1)[0]
    return mono


def read_audio_rows(
    path: Path, sample_rate: int, seconds: int, audio_channels: int
) -> NDArray[np.float32]:
    """Read the first seconds of an audio file, with its left and right channel.

    Args:
        path: As for `read_audio`.
        sample_rate: As for `read_audio`.
        seconds: As for `read_audio`.
        audio_channels: 2 to keep the left and the right channel beside the mono mix, else 1.

    Returns:
        Mono samples, followed by left and right if there are two channels,
        (R, seconds * sample_rate) float32 in [-1, 1].

    Raises:
        DatasetError: If the file is missing, damaged, or has no audio.
    """
    check_is_file(path)
    count = seconds * sample_rate
    # None stands for a file that only the general decoder can read.
    audio = _read_plain_wav(path, sample_rate, count, audio_channels)
    if audio is None:
        audio = _decode_audio(path, sample_rate, count, audio_channels)
    return audio


def audio_duration_s(path: Path) -> float:
    """Return the length of an audio file as its header announces it, without decoding.

    Args:
        path: Path of the file, in any format that PyAV reads.

    Returns:
        Length in seconds; 0 if the header does not announce it.

    Raises:
        DatasetError: If the file is not an audio file.
    """
    check_is_file(path)
    try:
        with wave.open(str(path), "rb") as file:
            if file.getframerate() > 0:
                return file.getnframes() / file.getframerate()
    except (wave.Error, *_DECODER_ERRORS):
        pass  # not a WAV file, or a damaged one
    try:
        with open_media(path) as container:
            streams = container.streams.audio
            return (announced_end_s(streams[0]) or 0.0) if streams else 0.0
    except ClipError as error:
        raise DatasetError(f"{path}: the audio cannot be read: {error.problem}") from error
    except _DECODER_ERRORS as error:
        raise _broken_audio_error(path, error) from error


def check_is_file(path: Path) -> None:
    """Raise an error if a path is not a regular file.

    Args:
        path: The path.

    Raises:
        DatasetError: If there is nothing, or a folder, pipe or device, which cannot be read.
    """
    if is_file(path):
        return
    if not os.path.exists(path):  # noqa: PTH110 - Path.exists raises for a long name
        raise missing_file_error(path)
    # Opening a pipe waits for another process to write to it, perhaps forever.
    raise DatasetError(f"{path}: is a folder, pipe or device, not a file; copy the file again.")


def missing_file_error(path: Path) -> DatasetError:
    """Build the error for a missing file, which names the last existing folder of its path.

    Args:
        path: Path of the missing file.

    Returns:
        The error to raise.
    """
    parent = path.parent
    while not os.path.exists(parent):  # noqa: PTH110 - Path.exists raises for a long name
        parent = parent.parent
    return DatasetError(
        f"{path}: there is no such file (the last existing folder is {parent}). The data set is "
        "incomplete or not in AVSBench's layout; unpack or copy it again. `avseg data check` lists "
        "all problems."
    )


def _broken_audio_error(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"{path}: cannot be read as audio ({_describe(error)}); copy the file again."
    )


def _describe(error: Exception) -> str:
    return str(error) or type(error).__name__  # a MemoryError has no text


def _read_plain_wav(
    path: Path, sample_rate: int, count: int, audio_channels: int
) -> NDArray[np.float32] | None:
    """Read a 16-bit WAV file of the given sample rate; return None for any other file.

    AVSBench's audio files have this form, and this is ten times as fast as decoding with PyAV.
    """
    try:
        with wave.open(str(path), "rb") as file:
            if file.getsampwidth() != 2 or file.getframerate() != sample_rate:
                return None
            channels, announced = file.getnchannels(), file.getnframes()
            stored = file.readframes(count)
    except (wave.Error, *_DECODER_ERRORS):
        return None
    # A file that was cut within a sample ends with a part of it.
    samples = np.frombuffer(stored[: len(stored) // 2 * 2], "<i2")
    # `wave` does not complain about a truncated file, it returns fewer samples.
    if len(samples) != min(count, announced) * channels:
        raise DatasetError(
            f"{path}: the audio ends early, at {len(samples) / channels / sample_rate:.2f} s of "
            f"{announced / sample_rate:.2f} s; copy the file again."
        )
    # 32768, the scale of FFmpeg's decoder, so that both ways of reading give the same values.
    by_channel = samples.reshape(-1, channels)
    rows = by_channel.mean(axis=1, dtype=np.float32)[None] / np.float32(32768)
    if audio_channels == 2:
        scaled = by_channel.T.astype(np.float32) / np.float32(32768)
        rows = np.concatenate([rows, left_and_right(scaled, rows[0])])
    return np.pad(rows, ((0, 0), (0, count - rows.shape[1])))


def _decode_audio(
    path: Path, sample_rate: int, count: int, audio_channels: int
) -> NDArray[np.float32]:
    """Decode and resample an audio file of any format."""
    try:
        with open_media(path) as container:
            if not container.streams.audio:
                raise DatasetError(f"{path}: has no audio stream; copy the file again.")
            rate = container.streams.audio[0].rate or 0
            if not 0 < rate <= _MAX_SAMPLE_RATE:
                raise DatasetError(
                    f"{path}: has a sample rate of {rate} Hz by its header; copy the file again."
                )
            audio_track = AudioTrack(
                container, container.streams.audio[0], sample_rate, str(path), audio_channels
            )
            audio = audio_track.read_rows(0, count)
            damage = audio_track.damage()
    except ClipError as error:
        damage, audio = error, np.zeros((1, 0), np.float32)
    except _DECODER_ERRORS as error:
        raise _broken_audio_error(path, error) from error
    if damage is not None:
        raise DatasetError(f"{path}: the audio cannot be read: {damage.problem}") from damage
    return audio
