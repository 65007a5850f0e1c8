"""Audio segments as the released code of AV2T-SAM prepares them for CLAP (arXiv:2502.16359).

Use it only to compare with published results. All other code of the package reads audio as mono and
aligns it by the timestamps of the file; a segment is neither mono nor aligned.

C channels, S samples, r sample rate.
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
from avseg.media.audio import split_channels
from avseg.media.container import PathLike, explain, open_media

#: Zero crossings of the resampling filter on each side, and the fraction of the lower Nyquist
#: frequency that the filter passes: the defaults of torchaudio, which the released code uses.
_ZERO_CROSSINGS, _ROLLOFF = 6, 0.99


def read_segments(
    path: PathLike, sample_rate: int = 44100, count: int = 5
) -> npt.NDArray[np.float32]:
    """Read the first seconds of an audio track as segments of one second.

    The samples are used in the order of the file; their timestamps are ignored. A shorter track is
    padded with zeros, and a longer one is cut.

    Args:
        path: An audio file, or a video with audio.
        sample_rate: Sample rate of the result, in Hz.
        count: Number of seconds.

    Returns:
        Segments, (count, C * r) float32, about [-1, 1]: in each row one channel after the other,
        for stereo the left one first.

    Raises:
        ClipError: If the file cannot be opened or decoded, or has no audio.
    """
    return cut_segments(read_seconds(path, sample_rate, count), sample_rate)


def read_seconds(
    path: PathLike, sample_rate: int = 44100, count: int = 5
) -> npt.NDArray[np.float32]:
    """Read the first seconds of an audio track with all channels; see `read_segments`.

    Args:
        path: An audio file, or a video with audio.
        sample_rate: Sample rate of the result, in Hz.
        count: Number of seconds.

    Returns:
        The channels, (C, count * r) float32, about [-1, 1].

    Raises:
        ClipError: If the file cannot be opened or decoded, or has no audio.
    """
    origin = os.fspath(path)
    with open_media(path) as container:
        # A file may contain audio streams without a decoder, so the first decodable one is used.
        stream = next((s for s in container.streams.audio if s.codec_context is not None), None)
        if stream is None:
            raise NoAudioStreamError(origin, "has no audio track that can be decoded.")
        channels, rate = _read_channels(origin, container.decode(stream), stream, count)
    resampled = resample(channels, rate, sample_rate)[:, : count * sample_rate]
    # Zeros, so that every segment has the length that CLAP expects.
    missing = count * sample_rate - resampled.shape[1]
    return np.pad(resampled, ((0, 0), (0, missing)))


def cut_segments(channels: npt.NDArray[np.float32], sample_rate: int) -> npt.NDArray[np.float32]:
    """Concatenate the channels of each second.

    The released code flattens a stereo segment instead of mixing it to mono: the input of CLAP is
    the left channel followed by the right one.

    Args:
        channels: Whole seconds of audio, (C, count * r).
        sample_rate: r, in Hz.

    Returns:
        Segments, (count, C * r) float32: in each row one channel after the other.
    """
    seconds = channels.reshape(len(channels), -1, sample_rate)  # (C, count, r)
    return np.concatenate(list(seconds), axis=1)


def resample(
    channels: npt.NDArray[np.float32], sample_rate: int, new_rate: int
) -> npt.NDArray[np.float32]:
    """Resample with a windowed sinc filter (Hann window).

    Args:
        channels: Waveforms, (C, S).
        sample_rate: Their sample rate, in Hz.
        new_rate: Sample rate of the result, in Hz.

    Returns:
        Waveforms, (C, ceil(S * new_rate / sample_rate)).
    """
    if sample_rate == new_rate:
        return channels
    # The reduced ratio keeps the number of kernels small: 441 / 160 for 44.1 kHz to 16 kHz.
    divisor = math.gcd(sample_rate, new_rate)
    old, new = sample_rate // divisor, new_rate // divisor
    # The cutoff is below the Nyquist frequency of the lower rate, which prevents aliasing.
    cutoff = _ROLLOFF * min(old, new)
    reach = math.ceil(_ZERO_CROSSINGS * old / cutoff)
    # Polyphase filter: the position of an output sample between two input samples repeats after
    # `new` output samples. So `new` kernels are enough.
    times = np.arange(-reach, reach + old) / old - np.arange(new)[:, None] / new
    crossings = (times * cutoff).clip(-_ZERO_CROSSINGS, _ZERO_CROSSINGS)
    # The squared cosine is the Hann window over the kernel's width.
    window = np.cos(crossings * np.pi / _ZERO_CROSSINGS / 2) ** 2
    kernels = (np.sinc(crossings) * window * cutoff / old).astype(np.float32)  # (new, K)
    # The filter reaches beyond both ends of the signal, where it gets zeros.
    padded = np.pad(channels, ((0, 0), (reach, reach + old)))
    # One view of the input, without a copy, for each period of `new` output samples.
    views = np.lib.stride_tricks.sliding_window_view(padded, kernels.shape[1], axis=1)[:, ::old]
    resampled: npt.NDArray[np.float32] = (views @ kernels.T).reshape(len(channels), -1)
    # The last period may have outputs beyond the end of the signal.
    return resampled[:, : math.ceil(new * channels.shape[1] / old)]


def _read_channels(
    origin: str, frames: Iterator[AudioFrame], stream: AudioStream, seconds: int
) -> tuple[npt.NDArray[np.float32], int]:
    """Decode all channels, (C, S), of one second more than needed; return them and their rate.

    The resampling filter needs input samples beyond the last output sample.
    """
    # Only the format changes; layout and rate stay those of the file.
    resampler = AudioResampler(format="flt", layout=stream.layout, rate=stream.rate)
    blocks: list[npt.NDArray[np.float32]] = []
    read, needed = 0, (seconds + 1) * stream.rate
    try:
        while read < needed and (frame := next(frames, None)) is not None:
            for block in resampler.resample(frame):
                blocks.append(split_channels(block))
                read += block.samples
    except (FFmpegError, ValueError) as error:  # ValueError: the format changes within the track
        raise CorruptVideoError(
            origin,
            f"the audio cannot be decoded after {read / stream.rate:.2f} s ({explain(error)}); "
            "copy or download the file again.",
        ) from error
    if not blocks:
        raise NoAudioStreamError(origin, "its audio track is empty; give a file with audio.")
    return np.concatenate(blocks, axis=1), stream.rate
