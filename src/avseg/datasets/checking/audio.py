"""Checks of the audio of one clip."""

from collections.abc import Iterator
from pathlib import Path

from avseg.datasets.checking.findings import Finding
from avseg.datasets.files import audio_duration_s, is_file, read_audio
from avseg.errors import DatasetError

#: Seconds that audio may be shorter or longer than its clip without a finding.
_SHORT_S, _LONG_S = 0.05, 1.0

#: Sample rate in Hz for reading; AVSBench's files have it, so that nothing is resampled.
_SAMPLE_RATE = 16000


def check_audio(path: Path, seconds: int) -> Iterator[Finding]:
    """Check that an audio file exists, is complete, and is as long as its clip.

    Args:
        path: Path of the audio file.
        seconds: Length of the clip, in seconds.

    Yields:
        Problems found.
    """
    if not is_file(path):
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


def check_negative_audio(path: Path, own: Path, seconds: int) -> Iterator[Finding]:
    """Check negative audio, which no visible object makes.

    Args:
        path: Path of the negative audio file.
        own: Path of the clip's own audio file.
        seconds: Length of the clip, in seconds.

    Yields:
        Problems found.
    """
    yield from check_audio(path, seconds)
    if is_file(path) and is_file(own) and path.read_bytes() == own.read_bytes():
        yield Finding("negative-is-true", path)


def check_silence(path: Path, seconds: int) -> Iterator[Finding]:
    """Check that an audio file exists and is silent.

    Args:
        path: Path of the audio file.
        seconds: Length of the clips, in seconds.

    Yields:
        Problems found.
    """
    findings = list(check_audio(path, seconds))
    yield from findings
    if not findings and read_audio(path, _SAMPLE_RATE, seconds).any():
        yield Finding("silence-sounds", path)
