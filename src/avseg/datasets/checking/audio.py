"""Checks of the sound of one clip."""

from collections.abc import Iterator
from pathlib import Path

from avseg.datasets.checking.findings import Finding
from avseg.datasets.files import audio_duration_s, read_audio
from avseg.errors import DatasetError

#: What may be missing at the end without anyone noticing, and what there may be too much.
_SHORT_S, _LONG_S = 0.05, 1.0

_SAMPLE_RATE = 16000


def check_audio(path: Path, seconds: int) -> Iterator[Finding]:
    """Check that a sound is there, whole, and as long as its clip.

    Args:
        path: The file.
        seconds: Length of the clip.

    Yields:
        What is wrong.
    """
    if not path.is_file():
        yield Finding("sound-missing", path)
        return
    try:
        read_audio(path, _SAMPLE_RATE, seconds)
        length_s = audio_duration_s(path)
    except DatasetError as error:
        yield Finding("sound-broken", path, str(error).removeprefix(f"{path}: "))
        return
    detail = f"{length_s:.2f} s of {seconds} s"
    if length_s <= seconds - 1:
        yield Finding("sound-ends-early", path, detail)
    elif length_s < seconds - _SHORT_S:
        yield Finding("sound-short", path, detail)
    elif length_s > seconds + _LONG_S:
        yield Finding("sound-long", path, detail)


def check_negative_audio(path: Path, true: Path, seconds: int) -> Iterator[Finding]:
    """Check a sound that nothing in the picture should make.

    Args:
        path: The file.
        true: The clip's own sound.
        seconds: Length of the clip.

    Yields:
        What is wrong.
    """
    yield from check_audio(path, seconds)
    if path.is_file() and true.is_file() and path.read_bytes() == true.read_bytes():
        yield Finding("negative-is-true", path)


def check_silence(path: Path, seconds: int) -> Iterator[Finding]:
    """Check that a sound is there and has no sound in it.

    Args:
        path: The file.
        seconds: Length of the clips.

    Yields:
        What is wrong.
    """
    findings = list(check_audio(path, seconds))
    yield from findings
    if not findings and read_audio(path, _SAMPLE_RATE, seconds).any():
        yield Finding("silence-sounds", path)
