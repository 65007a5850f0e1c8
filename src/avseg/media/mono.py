"""Mono mix of the channels of an audio track without cancellation, and its left and right channel.

C is the number of channels, S the number of samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from avseg.types import SILENCE_DBFS

#: Largest level of the mean of all channels, relative to the loudest channel, at which they count
#: as cancelling each other. Unrelated channels give -3 dB for two and -9 dB for eight of them.
CANCELLED_DB = -20.0

#: Largest difference in level between the chosen channel and the loudest one at which the choice
#: stays the same. Each change is a jump in the waveform.
KEEP_DB = -6.0


class MonoMixer:
    """Mixes the channels of a track to mono, one piece of about one second after the other.

    A piece is the mean of its channels, unless that is 20 dB or more below the loudest channel,
    as in a stereo track whose right channel is the inverted left one. Then it is the loudest
    channel alone.

    Attributes:
        cancelled_samples: Number of samples for which one channel was used.
    """

    def __init__(self) -> None:
        self._channel: int | None = None  # the channel in use; None for the mean
        self.cancelled_samples = 0

    def mix(self, channels: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Mix the next piece of the track.

        Args:
            channels: Samples of each channel, (C, S), about [-1, 1]; NaN counts as silence.

        Returns:
            Mono samples, (S,) in [-1, 1].
        """
        mono: npt.NDArray[np.float32] = channels.mean(axis=0, dtype=np.float32)
        if len(channels) > 1 and mono.size:
            self._channel = self._choose(channels, mono)
            if self._channel is not None:
                mono = channels[self._channel]
                self.cancelled_samples += len(mono)
        # Lossy codecs overshoot [-1, 1] slightly, and damaged float tracks contain NaN.
        clipped: npt.NDArray[np.float32] = np.nan_to_num(mono.clip(-1, 1))
        return clipped

    def _choose(
        self, channels: npt.NDArray[np.float32], mono: npt.NDArray[np.float32]
    ) -> int | None:
        """Return the channel to use instead of the mean, or None."""
        powers = np.array([_power(channel) for channel in channels])
        loudest = powers.max()
        if loudest < _ratio(SILENCE_DBFS) or _power(mono) > loudest * _ratio(CANCELLED_DB):
            return None
        current = self._channel
        if current is None or current >= len(powers) or powers[current] < loudest * _ratio(KEEP_DB):
            return int(powers.argmax())
        return current


def left_and_right(
    channels: npt.NDArray[np.float32], mono: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Return the left and the right channel of a piece of a track.

    Args:
        channels: Samples of each channel, (C, S), as for `MonoMixer.mix`.
        mono: Their mono mix, (S,).

    Returns:
        Left and right, (2, S) in [-1, 1]. A track that is not stereo has its mono mix in both: the
        centre channel of surround sound, with most of the speech, belongs to neither side.
    """
    if len(channels) != 2:
        return np.stack([mono, mono])
    clipped: npt.NDArray[np.float32] = np.nan_to_num(channels.clip(-1, 1))
    return clipped


def _power(samples: npt.NDArray[np.float32]) -> float:
    """Return the mean square of finite samples in [-1, 1]."""
    return float(np.square(np.nan_to_num(samples.clip(-1, 1)), dtype=np.float64).mean())


def _ratio(decibels: float) -> float:
    """Convert a level in dB to a ratio of powers."""
    return float(10 ** (decibels / 10))
