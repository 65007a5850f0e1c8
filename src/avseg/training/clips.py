"""Annotated clips with the features of frozen towers, and training examples made from them.

Features that the store does not have yet are computed before the training. Frames, masks and
features are read when a batch needs them, so that the data may be larger than the memory. The files
must not change during a run.

T is the number of frames that are read from a clip: its annotated frames, or all. H x W is the size
of a frame.
"""

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from avseg.datasets.avsbench import AVSBench
from avseg.synthavs.contents import ClipContents
from avseg.training.feature_cache import Features, FeatureStore, FrozenTower, hash_files

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EmbeddedClip:
    """Frames of a clip with their ground truth and features.

    Attributes:
        frames: RGB images, (T, H, W, 3) uint8.
        masks: Ground-truth masks, (T, H, W) bool; empty for frames without ground truth.
        annotated: Whether a frame has a ground truth, (T,) bool.
        features: Name of a tower -> its features, one tensor or several, each (T, ...).
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    features: Mapping[str, Features]


class EmbeddedClips(Dataset[EmbeddedClip]):
    """The clips of several splits, with the features of frozen towers.

    Args:
        splits: The splits.
        towers: The towers, with their weights loaded.
        store: Store of the features; missing ones are computed here.
        window_s: Length of the audio that belongs to a frame, in seconds.
        whole: Whether to read all frames of a clip, or only the annotated ones.

    Raises:
        DatasetError: If a file of the data is missing or damaged.
        OutputError: If the store cannot be written.
    """

    def __init__(
        self,
        splits: Sequence[AVSBench],
        towers: Sequence[FrozenTower],
        store: FeatureStore,
        window_s: float,
        *,
        whole: bool = False,
    ) -> None:
        self._clips = [(split, number) for split in splits for number in range(len(split))]
        self._store = store
        self._whole = whole
        self._audio_towers = [tower.name for tower in towers if tower.modality == "audio"]
        self._keys: list[dict[str, str]] = [{} for _ in self._clips]
        computed = 0
        # All features are computed before the training starts, so that the worker processes of a
        # data loader only read files. The order is random, so that several processes that fill one
        # cache share the work. `SystemRandom` leaves the seeded generators of the training as they
        # are.
        order = random.SystemRandom().sample(range(len(self)), len(self))
        for count, index in enumerate(order, start=1):
            self._keys[index] = self._feature_keys(index, towers)
            computed += self._compute_missing(index, towers, window_s)
            if count % max(1, len(self) // 10) == 0:
                _log.info("features: %d of %d clips, %d computed", count, len(self), computed)

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, index: int) -> EmbeddedClip:
        return self.read(index, slice(None))

    def seconds(self, index: int) -> range:
        """Return the numbers of a clip's annotated frames, which are its first frames."""
        split, number = self._clips[index]
        return range(split.entries[number].annotated_seconds)

    def read_seconds(self, index: int) -> range:
        """Return the numbers of the frames that `read` can return: all, or the annotated ones."""
        split, number = self._clips[index]
        return range(split.entries[number].seconds) if self._whole else self.seconds(index)

    def read(self, index: int, frames: slice) -> EmbeddedClip:
        """Read some frames of a clip.

        Args:
            index: Number of the clip.
            frames: Frames to read, counted among those of `read_seconds`.

        Returns:
            The frames, their ground truth and features.

        Raises:
            DatasetError: If a file of the data is missing or damaged.
        """
        split, number = self._clips[index]
        seconds = self.read_seconds(index)[frames]
        images, masks = split.read_frames(number, seconds)
        # AVSBench's S4 training clips have a mask for the first of five frames only.
        annotated = np.array([second in self.seconds(index) for second in seconds])
        return EmbeddedClip(images, masks, annotated, self.read_features(index, frames))

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Read the ground-truth masks of a clip's annotated frames, (n, H, W)."""
        split, number = self._clips[index]
        return split.read_frames(number, self.seconds(index))[1]

    def read_features(self, index: int, frames: slice) -> dict[str, Features]:
        """Read the features of some frames of a clip, by the name of the tower."""
        return {name: self._store.read(key, frames) for name, key in self._keys[index].items()}

    def read_audio_features(self, index: int, frames: slice) -> dict[str, Features]:
        """Read the features that depend on the audio of some frames of a clip."""
        keys = self._keys[index]
        return {name: self._store.read(keys[name], frames) for name in self._audio_towers}

    def _feature_keys(self, index: int, towers: Sequence[FrozenTower]) -> dict[str, str]:
        """Return the keys of a clip's features in the store; files are hashed but not decoded."""
        split, number = self._clips[index]
        seconds = self.read_seconds(index)
        contents: dict[str, str] = {}
        for modality in {tower.modality for tower in towers}:
            # The numbers of the seconds are part of the hash: with `whole`, or in another split,
            # the same files give features of other frames.
            if modality == "frames":
                paths = [split.frame_path(number, second) for second in seconds]
                contents[modality] = hash_files(paths, seconds)
            else:  # an audio window may reach beyond its second, up to the end of the clip
                whole = split.entries[number].seconds
                contents[modality] = hash_files([split.audio_path(number)], [whole, *seconds])
        return {tower.name: tower.key(contents[tower.modality]) for tower in towers}

    @torch.no_grad()
    def _compute_missing(self, index: int, towers: Sequence[FrozenTower], window_s: float) -> bool:
        """Compute the features of a clip that the store lacks; return whether it lacked any."""
        keys = self._keys[index]
        missing = [tower for tower in towers if not self._store.contains(keys[tower.name])]
        if not missing:
            return False
        split, number = self._clips[index]
        # The whole clip is decoded: an audio window may reach beyond the frames that are read.
        clip, count = split[number].clip, len(self.read_seconds(index))
        inputs: dict[str, NDArray[Any]] = {
            "frames": clip.frames[:count],
            "audio": clip.audio_windows(window_s)[:count],
        }
        for tower in missing:
            self._store.write(keys[tower.name], tower.compute(inputs[tower.modality]))
        return True


class FrameIndex(NamedTuple):
    """Index of a single frame in a data set of clips.

    Attributes:
        clip: Number of the clip.
        frame: Number of the frame among those of the clip that are read.
    """

    clip: int
    frame: int

    @property
    def frames(self) -> slice:
        """Slice of the clip's frames that contains this frame alone."""
        return slice(self.frame, self.frame + 1)


class ClipIndex(NamedTuple):
    """Index of a whole clip in a data set of clips.

    Attributes:
        clip: Number of the clip.
    """

    clip: int

    @property
    def frames(self) -> slice:
        """Slice of all frames of the clip."""
        return slice(None)


#: Index of a frame or of a whole clip.
Index = TypeVar("Index", FrameIndex, ClipIndex)


class OffScreenPair(NamedTuple, Generic[Index]):
    """Images of one frame or clip, with audio of another whose sounding objects are not visible.

    The ground truth of such a pair is empty: every sound is off-screen.

    Attributes:
        visual: Frame or clip with the images.
        audio: Frame or clip with the audio.
    """

    visual: Index
    audio: Index


class TrainingExamples(Dataset[EmbeddedClip]):
    """Frames or clips with their own audio, followed by pairs with off-screen sound.

    Args:
        clips: The clips.
        indices: Frames or clips with their own audio.
        pairs: Pairs with off-screen sound.
    """

    def __init__(
        self,
        clips: EmbeddedClips,
        indices: Sequence[FrameIndex | ClipIndex],
        pairs: Sequence[OffScreenPair[FrameIndex]] | Sequence[OffScreenPair[ClipIndex]] = (),
    ) -> None:
        self.clips = clips
        self.indices = indices
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.indices) + len(self.pairs)

    def __getitem__(self, index: int) -> EmbeddedClip:
        if index < len(self.indices):
            chosen = self.indices[index]
            return self.clips.read(chosen.clip, chosen.frames)
        pair = self.pairs[index - len(self.indices)]
        clip = self.clips.read(pair.visual.clip, pair.visual.frames)
        audio = self.clips.read_audio_features(pair.audio.clip, pair.audio.frames)
        # Image features stay those of the visual clip; only features of the audio are replaced.
        empty = np.zeros_like(clip.masks)
        return replace(clip, masks=empty, features={**clip.features, **audio})


class SingleFrames(TrainingExamples):
    """Every annotated frame as a clip of one frame, followed by pairs with off-screen sound.

    Args:
        clips: The clips.
        pairs: Pairs of frames with off-screen sound.
    """

    def __init__(
        self, clips: EmbeddedClips, pairs: Sequence[OffScreenPair[FrameIndex]] = ()
    ) -> None:
        super().__init__(clips, list_frames(clips), pairs)


class AnnotatedClips(Protocol):
    """Clips of which some frames have a ground truth."""

    def __len__(self) -> int: ...

    def seconds(self, index: int) -> range:
        """Return the numbers of a clip's annotated frames."""

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Read the ground-truth masks of a clip's annotated frames, (T, H, W)."""


def draw_off_screen_frames(
    clips: AnnotatedClips, contents: Sequence[ClipContents], share: float
) -> list[OffScreenPair[FrameIndex]]:
    """Draw pairs of a frame and the audio of another frame, so that every sound is off-screen.

    The pairs depend on the data alone. A frame for which no audio can be found is left out.

    Args:
        clips: The clips.
        contents: Visible and audible categories of each clip.
        share: Number of pairs for each annotated frame, at least 0.

    Returns:
        The pairs.

    Raises:
        ValueError: If the share is below 0.
    """
    frames = list_frames(clips)
    count = _pair_count(share, frames)
    has_mask = np.concatenate([clips.read_masks(c).any((1, 2)) for c in range(len(clips))])
    # Audio is taken from frames with a mask only: a clip may be silent in its other seconds.
    sounding = [frame for frame, sounds in zip(frames, has_mask, strict=True) if sounds]
    return _draw_pairs(frames, sounding, contents, count)


def draw_off_screen_clips(
    contents: Sequence[ClipContents], share: float
) -> list[OffScreenPair[ClipIndex]]:
    """Draw pairs of a clip and the audio of another clip, so that every sound is off-screen.

    The pairs depend on the data alone. A clip for which no audio can be found is left out.

    Args:
        contents: Visible and audible categories of each clip; all have equally many frames.
        share: Number of pairs for each clip, at least 0.

    Returns:
        The pairs.

    Raises:
        ValueError: If the share is below 0.
    """
    clips = [ClipIndex(number) for number in range(len(contents))]
    sounding = [clip for clip in clips if contents[clip.clip].audible]
    return _draw_pairs(clips, sounding, contents, _pair_count(share, clips))


def _pair_count(share: float, indices: Sequence[Index]) -> int:
    if share < 0:
        raise ValueError(f"off_screen must be at least 0, got {share}.")
    return round(share * len(indices))


def _draw_pairs(
    indices: Sequence[Index],
    sounding: Sequence[Index],
    contents: Sequence[ClipContents],
    count: int,
) -> list[OffScreenPair[Index]]:
    """Draw the visual side of each pair, then the first audio without a visible category."""
    # A fixed seed: runs with different seeds train on the same pairs.
    rng = np.random.default_rng(0)
    pairs = []
    for choice in rng.integers(len(indices), size=count):
        visual = indices[choice]
        visible = contents[visual.clip].visible
        # A generator: usually one of the first candidates fits, and the others are not built.
        candidates = (sounding[i] for i in rng.permutation(len(sounding)))
        audio = next((c for c in candidates if not contents[c.clip].audible & visible), None)
        if audio is not None:
            pairs.append(OffScreenPair(visual, audio))
    return pairs


def list_frames(clips: AnnotatedClips) -> list[FrameIndex]:
    """Return the indices of all annotated frames of some clips."""
    return [FrameIndex(c, t) for c in range(len(clips)) for t in range(len(clips.seconds(c)))]
