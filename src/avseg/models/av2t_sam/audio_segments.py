"""The first seconds of a sound track as AV2T-SAM's authors feed them to CLAP (arXiv:2502.16359).

Not on the container's clock and not mono, unlike everything else here: for comparing with published
results. C channels, S samples, r sample rate.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError

from avseg.errors import CorruptVideoError, NoAudioStreamError
from avseg.media.container import PathLike, open_media

#: Zero crossings of the resampling filter on each side, and the share of the lower rate's band that
#: it passes.
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99


def read_segments(
    path: PathLike, sample_rate: int = 44100, count: int = 5
) -> npt.NDArray[np.float32]:
    """Read seconds of sound, in each the channels end to end.

    The samples are taken in the file's order, whatever their times; a track that ends earlier is
    followed by zeros, the rest of a longer one is ignored.

    Args:
        path: A sound file, or a video with sound.
        sample_rate: To which the sound is resampled, in Hz.
        count: Seconds.

    Returns:
        Second i as left channel, then right: (count, C * r) float32, as stored, about [-1, 1].

    Raises:
        ClipError: If the file cannot be opened or decoded, or has no sound.
    """
    return cut_segments(read_seconds(path, sample_rate, count), sample_rate)


def read_seconds(
    path: PathLike, sample_rate: int = 44100, count: int = 5
) -> npt.NDArray[np.float32]:
    """Read seconds of sound with all channels, as `read_segments` does before it cuts them.

    Args:
        path: A sound file, or a video with sound.
        sample_rate: To which the sound is resampled, in Hz.
        count: Seconds.

    Returns:
        The channels, (C, count * r) float32, as stored, about [-1, 1].

    Raises:
        ClipError: If the file cannot be opened or decoded, or has no sound.
    """
    source = os.fspath(path)
    with open_media(path) as container:
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            raise NoAudioStreamError(source, "has no sound track that can be decoded.")
        channels, rate = _read_channels(source, container.decode(stream), stream, count)
    resampled = resample(channels, rate, sample_rate)[:, : count * sample_rate]
    missing = count * sample_rate - resampled.shape[1]
    return np.pad(resampled, ((0, 0), (0, missing)))


def cut_segments(channels: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
    """Put the channels of each second end to end.

    Args:
        channels: Whole seconds of sound, (C, count * r).
        sample_rate: In Hz.

    Returns:
        Second i as left channel, then right: (count, C * r) float32.
    """
    seconds = channels.reshape(len(channels), -1, sample_rate)  # (C, count, r)
    return np.concatenate(list(seconds), axis=1)


def resample(
    channels: npt.NDArray[np.float32], sample_rate: int, new_rate: int
) -> npt.NDArray[np.float32]:
    """Resample with a sinc filter under a squared-cosine (Hann) window.

    Args:
        channels: Waveforms, (C, S).
        sample_rate: Theirs, in Hz.
        new_rate: Wanted, in Hz.

    Returns:
        Waveforms, (C, ceil(S * new_rate / sample_rate)).
    """
    if sample_rate == new_rate:
        return channels
    divisor = math.gcd(sample_rate, new_rate)
    old, new = sample_rate // divisor, new_rate // divisor
    cutoff = _ROLLOFF * min(old, new)
    reach = math.ceil(_ZERO_CROSSINGS * old / cutoff)
    # Times of the input samples around each of `new` output samples, which then repeat.
    times = np.arange(-reach, reach + old) / old - np.arange(new)[:, None] / new
    crossings = (times * cutoff).clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    window = np.cos(crossings * np.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = (np.sinc(crossings) * window * cutoff / old).astype(np.float32)  # (new, K)
    padded = np.pad(channels, ((0, 0), (reach, reach + old)))
    views = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1], axis=1)[:, ::old]
    resampled: npt.NDArray[np.float32] = (views @ kernels.T).reshape(len(channels), -1)
    return resampled[:, : math.ceil(new * channels.shape[1] / old)]


def _read_channels(
    source: str, frames: Iterator[AudioFrame], stream: AudioStream, seconds: int
) -> tuple[npt.NDArray[np.float32], int]:
    """Decode all channels, (C, S), of one second more than wanted, and say their rate.

    The filter that resamples looks a little ahead.
    """
    resampler = AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
    pieces: list[npt.NDArray[np.float32]] = []
    read, wanted = 0, (seconds + 1) * stream.rate
    try:
        while read < wanted and (frame := next(frames, None)) is not None:
            for piece in resampler.resample(frame):
                pieces.append(piece.to_ndarray().astype(np.float32, copy=False))
                read += piece.samples
    except FFmpegError as error:
        raise CorruptVideoError(
            source,
            f"the sound is damaged after {read / stream.rate:.2f} s ({error.strerror}); copy or "
            "download the file again.",
        ) from error
    if not pieces:
        raise NoAudioStreamError(source, "its sound track is empty; give a file with sound.")
    return np.concatenate(pieces, axis=1), stream.rate
