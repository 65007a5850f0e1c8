"""Mono audio of one or several tracks of a video, and its left and right channel.

N is the number of tracks, S the number of samples, R the number of rows: the mono mix alone, or
followed by the left and the right channel.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack

import numpy as np
import numpy.typing as npt

from avseg.errors import ClipError, CorruptVideoError, NoAudioStreamError
from avseg.media.audio import SILENT_OK, AudioTrack
from avseg.media.container import PathLike, open_media
from avseg.media.mono import MonoMixer
from avseg.types import AudioSelection

#: Distance in seconds between a track and the picture from which the times of one are damaged.
BESIDE_S = 1.0

#: Longest time in seconds by which the audio may end before the picture without a warning, if the
#: container does not announce the end of the audio.
EARLY_AUDIO_S = 1.0


class AudioMix:
    """Mono audio of the selected tracks; sample n is at n / sample_rate seconds.

    One track is used as it is. Several are aligned by their timestamps and added, so that each has
    the level that it has alone. Where the sum exceeds full scale it is turned down, never clipped:
    the gain of each second is that of its peak, with a linear change from and to the seconds next
    to it. Tracks that cancel each other are treated as channels that do (see `MonoMixer`).

    Args:
        tracks: The tracks by their numbers, at least one. Each has a file handle of its own.
        sample_rate: Sample rate of the tracks and of the mix, in Hz.
    """

    def __init__(self, tracks: Mapping[int, AudioTrack], sample_rate: int) -> None:
        self._tracks, self._sample_rate = dict(tracks), sample_rate
        self._mixer = MonoMixer()
        self._seconds: dict[int, npt.NDArray[np.float32]] = {}  # sums by their second
        self._next: int | None = None  # the second that is added next

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the tracks."""
        return tuple(self._tracks)

    def read(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Decode a range of mono samples, and drop earlier ones from memory.

        Args:
            start: Index of the first sample, as in `AudioTrack.read`.
            stop: Index after the last sample.

        Returns:
            Samples, (stop - start,) float32 in [-1, 1].
        """
        mono: npt.NDArray[np.float32] = self.read_rows(start, stop)[0]
        return mono

    def read_rows(self, start: int, stop: int) -> npt.NDArray[np.float32]:
        """Decode a range of samples of all rows, and drop earlier ones from memory.

        Args:
            start: Index of the first sample, as in `AudioTrack.read`.
            stop: Index after the last sample.

        Returns:
            Samples as from `AudioTrack.read_rows`, (R, stop - start) float32 in [-1, 1]. Where
            tracks cancel each other, left and right are the mono mix.
        """
        if len(self._tracks) == 1:
            (track,) = self._tracks.values()
            return track.read_rows(start, stop)
        # The gain of a second depends on the one before and the one after it.
        first, last = start // self._sample_rate, -(-stop // self._sample_rate)
        self._seconds = {k: sums for k, sums in self._seconds.items() if k >= first - 1}
        # All seconds in order, so that the audio does not depend on the ranges that are read.
        for second in range(first - 1 if self._next is None else self._next, last + 1):
            sums = self._add(second)
            self._next = second + 1
            if second >= first - 1:
                self._seconds[second] = sums
        mixed = np.concatenate([self._limited(second) for second in range(first, last)], axis=1)
        begin = start - first * self._sample_rate
        return mixed[:, begin : begin + stop - start]

    def _add(self, second: int) -> npt.NDArray[np.float32]:
        """Add the tracks in one second, (R, S); the sum may exceed full scale."""
        begin, end = second * self._sample_rate, (second + 1) * self._sample_rate
        tracks = np.stack([track.read_rows(begin, end) for track in self._tracks.values()])
        cancelled = self._mixer.cancelled_samples
        mean = self._mixer.mix(np.ascontiguousarray(tracks[:, 0]))  # of (N, S)
        sums: npt.NDArray[np.float32] = tracks.sum(axis=0, dtype=np.float32)
        # The mixer returns one track alone where they cancel each other, else their mean.
        if self._mixer.cancelled_samples == cancelled:
            return sums
        return np.tile(mean, (len(sums), 1))

    def _limited(self, second: int) -> npt.NDArray[np.float32]:
        """Return one second, (R, S), turned down to full scale."""
        before, here, after = (
            max(float(np.abs(self._seconds[k]).max()), 1.0) for k in range(second - 1, second + 2)
        )
        ends = 1 / max(before, here), 1 / max(here, after)
        gain = np.linspace(*ends, self._sample_rate, endpoint=False)
        # The gain is exact; the product is rounded.
        limited: npt.NDArray[np.float32] = (self._seconds[second] * gain).astype(np.float32)
        return limited.clip(-1, 1)

    def check(self, origin: str, picture_s: tuple[float, float], silent_ok: bool) -> list[str]:
        """Compare the audio with the picture and with what the container announces.

        Call it after the last `read`. A damaged track of several is a warning, unless all of them
        are damaged.

        Args:
            origin: Path of the file, for messages.
            picture_s: Start and end of the picture, in seconds.
            silent_ok: Whether audio that has no samples, or does not overlap the picture, is read
                as silence.

        Returns:
            Warnings.

        Raises:
            ClipError: If all tracks are damaged or, unless `silent_ok`, do not overlap the picture
                or have no samples.
        """
        warnings: list[str] = []
        damages: dict[int, ClipError] = {}
        silent: dict[int, tuple[str, ClipError]] = {}  # why, and the error unless `silent_ok`
        for number, track in self._tracks.items():
            warnings += [self._prefix(number) + warning for warning in track.warnings()]
            damage, beside = track.damage(), _beside(track, picture_s)
            if isinstance(damage, NoAudioStreamError):
                silent[number] = "the track has no samples that can be decoded", damage
            elif damage is not None:
                damages[number] = damage
            elif beside is not None:
                advice = f"Copy or download the file again, or re-encode it; {SILENT_OK}"
                silent[number] = beside, CorruptVideoError(origin, f"{beside}. {advice}")
        if self._mixer.cancelled_samples:
            seconds = self._mixer.cancelled_samples / self._sample_rate
            warnings.append(
                "the audio tracks cancel each other in the mix (opposite phases) for "
                f"{seconds:.1f} s; there, the loudest track alone is used."
            )
        if len(damages) + len(silent) < len(self._tracks):
            warnings += [f"{self._prefix(k)}{damage.problem}" for k, damage in damages.items()]
            warnings += [f"{self._prefix(k)}{reason}." for k, (reason, _) in silent.items()]
            return warnings + self._early_end(picture_s[1])
        if damages:
            raise next(iter(damages.values()))
        reason, error = next(iter(silent.values()))
        if not silent_ok:
            raise error
        return [*warnings, f"{reason}. The video is read as silent."]

    def _prefix(self, number: int) -> str:
        """Return the beginning of a message about one track of several."""
        return f"audio track {number}: " if len(self._tracks) > 1 else ""

    def _early_end(self, picture_end_s: float) -> list[str]:
        """Warn of audio that ends early without an announcement."""
        tracks = self._tracks.values()
        ends_s = [sound[1] for track in tracks if (sound := track.range_s()) is not None]
        unannounced = all(track.ends_unannounced for track in tracks)
        if not ends_s or not unannounced or picture_end_s - max(ends_s) <= EARLY_AUDIO_S:
            return []
        return [
            f"the audio ends at {max(ends_s):.2f} s, the picture at {picture_end_s:.2f} s; after "
            "that the video is silent, or its audio is lost."
        ]


def open_mix(
    files: ExitStack,
    path: PathLike,
    selection: AudioSelection,
    sample_rate: int,
    audio_channels: int = 1,
) -> AudioMix | None:
    """Open the selected audio tracks of a file.

    Args:
        files: Closes the file handles, one for each track: in a single pass over a file that stores
            its tracks far from each other, one of them would fill the memory.
        path: Path of the file.
        selection: Its selected tracks.
        sample_rate: Sample rate of the audio, in Hz.
        audio_channels: 2 to keep the left and the right channel beside the mono mix, else 1.

    Returns:
        The mix; None if no track is selected.
    """
    tracks = {}
    for number in selection.used:
        container = files.enter_context(open_media(path))
        stream = container.streams.audio[number - 1]
        tracks[number] = AudioTrack(container, stream, sample_rate, os.fspath(path), audio_channels)
    return AudioMix(tracks, sample_rate) if tracks else None


def _beside(track: AudioTrack, picture_s: tuple[float, float]) -> str | None:
    """Describe a track that does not overlap the picture; None for one that does."""
    sound, (start_s, end_s) = track.range_s(), picture_s
    if sound is None:
        return None
    is_near = sound[0] < end_s + BESIDE_S and sound[1] > start_s - BESIDE_S
    if track.overlaps and is_near:
        return None
    begins = sound[0] >= end_s
    place = f"starts at {sound[0]:.2f} s" if begins else f"ends at {sound[1]:.2f} s"
    return (
        f"the audio {place} and does not overlap the picture, from {start_s:.2f} to {end_s:.2f} s; "
        "the times of one of them are damaged"
    )
