"""Changes of the sound near a frame, so that a mask starts and ends with its sound.

The audio window of a frame is about one second long. A sound that starts up to half a second after
the frame is in it too, and so is one that has just ended. Where frames are closer together than
that, `fit_windows` moves the window of a frame to its own side of a change of the sound, and
measures silence on that side alone.

The rule uses the audio within two seconds of a frame only, which every clip of `avseg.media`
includes. So its result does not depend on where a video is cut into clips.

T frames, K blocks of audio, B frequency bands, C changes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from avseg.types import SILENCE_DBFS, Clip

#: Length of a block of audio, in seconds: the resolution of the times of changes. Half of a frame
#: at 25 frames per second.
BLOCK_S = 0.02

#: Lower limits of the frequency bands, in Hz, about an octave each. A sound that is not louder than
#: the noise around it still stands out in one of them.
BAND_LIMITS_HZ = (0, 200, 400, 800, 1600, 3200)

#: Blocks of the shortest pause that ends a sound: 0.5 s. In a shorter one, as between the barks of
#: a dog, the level of the quieter side counts, so that it has no changes.
PAUSE_BLOCKS = 25

#: Blocks before and after a time whose energies are compared: 0.36 s.
COMPARED_BLOCKS = 18

#: Smallest difference in energy of a change in any one band, in dB. Over noise at -30 dBFS, 8 dB
#: miss 29 % of the onsets of synthetic sounds, 6 dB 24 %; but 6 dB also find a third more changes
#: within one sound.
CONTRAST_DB = 6.0

#: Largest distance of such a band from the loudest one, on the louder side of the change, in dB. So
#: overtones that come and go are no change. It halves the changes within synthetic sounds, and
#: loses no onset.
RELEVANT_DB = 10.0

#: Blocks on each side of a change in which the difference is not larger.
PEAK_BLOCKS = 9

#: Difference to the level before a rise, or after a fall, at the time of the change, in dB. So the
#: time of a fade is where it emerges from the background, not where it is steepest.
EDGE_DB = 6.0

#: Blocks of silence before and after the audio of a clip, so that a change at its end is found.
_PADDING = COMPARED_BLOCKS + PEAK_BLOCKS

#: Distance that a moved window keeps from a change, in seconds: the times of changes are about that
#: exact, and a window with 20 ms of a sound would get the mask of that sound.
GUARD_S = 0.04

#: The rule with its constants, as results record it.
RULE = (
    f"moved at changes of {CONTRAST_DB:g} dB in {COMPARED_BLOCKS * BLOCK_S:g} s, "
    f"pauses up to {PAUSE_BLOCKS * BLOCK_S:g} s"
)

#: Largest distance of a window's end from its frame that the rule uses, in seconds. With 0.25 s
#: more, the changes would depend on audio that is further away than two seconds.
_LONGEST_HALF_S = 0.5


def fit_windows(
    clip: Clip, window_s: float, interval_s: float | None = None
) -> tuple[Clip, npt.NDArray[np.bool_]]:
    """Move the audio windows away from changes of the sound, and find the audible frames.

    Only frames that stand for less time than their window are affected. At one frame per second
    each frame has a second of its own, and nothing to share with its neighbours.

    Args:
        clip: The clip.
        window_s: Length of the audio window, in seconds.
        interval_s: Time that each frame stands for, in seconds; None for the durations of the clip.
            If these are unknown too, no frame is affected.

    Returns:
        The clip with its new audio times, and whether each frame is audible, (T,).
    """
    durations = clip.durations if interval_s is None else np.full(len(clip.frames), interval_s)
    dense = np.zeros(len(clip.frames), np.bool_) if durations is None else durations < window_s
    audible = is_audible(clip, window_s, np.empty(0))
    if not dense.any():
        return clip, audible
    changes = change_times(clip)
    times = np.where(dense, move_windows(clip, window_s, changes), clip.audio_times)
    audible = np.where(dense, is_audible(clip, window_s, changes), audible)
    return replace(clip, audio_times=times), audible


def change_times(clip: Clip) -> npt.NDArray[np.float64]:
    """Find the times at which the sound changes: onsets, offsets and steps of its level.

    At a change, the mean energies of the 0.36 s before and after it differ by at least 6 dB in one
    of the loudest frequency bands, more than at any time within 0.18 s. Pauses below 0.5 s are
    filled before, and energies below the silence threshold count as equal. The time of a rise is
    where such a band exceeds its level before by 6 dB; a fall is a rise of the reversed audio.

    Args:
        clip: The clip with its audio.

    Returns:
        Times in seconds on the clock of the clip, ascending, (C,).
    """
    first, energies = _band_energies(clip)
    filled = _fill_pauses(energies) + 10 ** (SILENCE_DBFS / 10) / len(BAND_LIMITS_HZ)
    rises, falls = _rises(filled), len(filled) - _rises(filled[::-1])
    blocks = first - _PADDING + np.unique(np.concatenate([rises, falls]))
    times: npt.NDArray[np.float64] = blocks * (_block_length(clip) / clip.sample_rate)
    return times


def move_windows(
    clip: Clip, window_s: float, changes: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the centre of each frame's audio window, moved away from the changes near it.

    A window that would reach beyond a change, or end within 0.04 s of it, is moved by as much, at
    most by half its length. Between two changes that are closer together than a window, it is
    moved away from both: then it is in the middle.

    Args:
        clip: The clip.
        window_s: Length of the audio window, in seconds.
        changes: Times of changes, (C,).

    Returns:
        Centres in seconds on the clock of the clip, (T,).
    """
    since_s, until_s = _distances(clip, window_s, changes)
    half_s = _half(window_s)
    later = np.maximum(half_s + GUARD_S - since_s, 0)
    earlier = np.maximum(half_s + GUARD_S - until_s, 0)
    moved: npt.NDArray[np.float64] = clip.audio_times + (later - earlier).clip(-half_s, half_s)
    return moved


def is_audible(
    clip: Clip, window_s: float, changes: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    """Return which frames have a sound above the silence threshold on their side of a change.

    The level is the RMS of the part of the frame's window between the changes before and after the
    frame.

    Args:
        clip: The clip.
        window_s: Length of the audio window, in seconds.
        changes: Times of changes, (C,); without any, the whole window of each frame counts.

    Returns:
        Whether each frame is audible, (T,).
    """
    windows = clip.audio_windows(window_s)
    since_s, until_s = _distances(clip, window_s, changes)
    # Between two changes that are close together, the guards would leave nothing.
    guard_s = np.minimum(GUARD_S, (since_s + until_s) / 4)
    begin_s, end_s = guard_s - since_s, until_s - guard_s
    # Times of samples relative to their frame.
    times = (np.arange(windows.shape[1]) + 0.5) / clip.sample_rate - window_s / 2
    inside = (times >= begin_s[:, None]) & (times < end_s[:, None])  # (T, N)
    # float64, so that the rounding of a long sum cannot move a window across the threshold.
    energy = (np.square(windows, dtype=np.float64) * inside).sum(axis=1)
    audible: npt.NDArray[np.bool_] = energy > inside.sum(axis=1) * 10 ** (SILENCE_DBFS / 10)
    return audible


def _band_energies(clip: Clip) -> tuple[int, npt.NDArray[np.float64]]:
    """Return the number of the first whole block, and the mean square of each band, (K, B)."""
    length = _block_length(clip)
    # Blocks are counted on the clock of the video, so that they are the same in every clip of it.
    start = round(clip.audio_start_s * clip.sample_rate)
    first = -(-start // length)
    audio = clip.audio[first * length - start :]
    blocks = audio[: len(audio) // length * length].reshape(-1, length)
    taper = np.hanning(length)
    powers = np.square(np.abs(np.fft.rfft(blocks * taper, axis=1)))
    powers *= 2 / (length * max(np.square(taper).sum(), 1e-9))  # Parseval: mean square of a block
    frequencies = np.fft.rfftfreq(length, 1 / clip.sample_rate)
    band = np.searchsorted(BAND_LIMITS_HZ, frequencies, side="right") - 1
    bands = [powers[:, band == number].sum(axis=1) for number in range(len(BAND_LIMITS_HZ))]
    return first, np.stack(bands, axis=1)


def _fill_pauses(energies: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Raise short pauses to the level around them: the morphological closing of each band.

    Args:
        energies: Mean square of each band, (K, B).

    Returns:
        The same, with silence before and after it, (K + 2 * _PADDING, B).
    """
    size = PAUSE_BLOCKS
    padded = np.pad(energies, ((_PADDING + size - 1,) * 2, (0, 0)))
    highest = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0).max(axis=-1)
    windows = np.lib.stride_tricks.sliding_window_view(highest, size, axis=0)
    filled: npt.NDArray[np.float64] = windows.min(axis=-1)
    return filled


def _rises(energies: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Return the blocks of `energies` (K, B), all above zero, at which a rise begins."""
    size, near = COMPARED_BLOCKS, PEAK_BLOCKS
    # Summed anew for each block: running sums are rounded differently in each clip of a video.
    means = np.lib.stride_tricks.sliding_window_view(energies, size, axis=0).mean(axis=-1)
    levels = 10 * np.log10(means)  # of the blocks from k on
    contrasts = levels[size:] - levels[:-size]  # at block k + size
    is_loud = levels[size:] >= levels[size:].max(axis=1, keepdims=True) - RELEVANT_DB
    contrasts = np.where(is_loud, contrasts, -np.inf)
    spans = np.lib.stride_tricks.sliding_window_view(contrasts.max(axis=1), 2 * near + 1)
    middle = spans[:, near]
    is_peak = (middle >= CONTRAST_DB) & (middle > spans[:, :near].max(axis=1))
    is_peak &= middle >= spans[:, near + 1 :].max(axis=1)
    rises = []
    for peak in np.flatnonzero(is_peak) + near:
        bands = contrasts[peak] >= CONTRAST_DB
        begin = peak + size - near
        # After a short transient, the differences are equal until it has passed by.
        searched = 10 * np.log10(energies[begin : peak + 2 * size, bands])
        risen = (searched - levels[begin - size, bands] >= EDGE_DB).any(axis=1)
        rises.append(begin + (risen.argmax() if risen.any() else near))
    return np.array(rises, np.intp)


def _block_length(clip: Clip) -> int:
    """Return the length of a block in samples."""
    return max(1, round(BLOCK_S * clip.sample_rate))


def _half(window_s: float) -> float:
    """Return half the length of a window, in seconds, at most what the rule uses."""
    return min(window_s / 2, _LONGEST_HALF_S)


def _distances(
    clip: Clip, window_s: float, changes: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the time since the last and until the next change near each frame, (T,) in seconds.

    A time is infinite if the window, with its guard, does not reach the change.
    """
    padded = np.concatenate([[-np.inf], changes, [np.inf]])
    # Index of the last change that is not after the frame.
    last = np.searchsorted(padded, clip.audio_times, side="right") - 1
    since_s = clip.audio_times - padded[last]
    until_s = padded[last + 1] - clip.audio_times
    reach_s = _half(window_s) + GUARD_S
    since_s[since_s > reach_s] = np.inf
    until_s[until_s > reach_s] = np.inf
    return since_s, until_s
