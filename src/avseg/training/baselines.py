"""What the bridge is compared with: SAMA-AVS and AVSBench's own model, on the same clips.

The audio tower never trains, so it listens once, before training. T frames of a clip, H x W size
of a frame, A width of an audio embedding.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from avseg.backbones.clap import ClapAudioTower
from avseg.datasets.avsbench import AVSBench
from avseg.datasets.contents import Contents
from avseg.errors import TrainingError
from avseg.models.frames_and_sounds import FrameSoundProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.tpavi import TpaviConfig, TpaviModel
from avseg.training.audio_visual import contents_of, open_splits
from avseg.training.measures import MaskMeasure
from avseg.training.parts import SEGMENTER, TOWER, WHOLE, load_parts
from avseg.training.task import Materials, Task

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class HeardClip:
    """A clip as training needs it.

    Attributes:
        frames: (T, H, W, 3) uint8.
        masks: (T, H, W) bool.
        annotated: Frames whose mask is known, (T,) bool.
        clap_embeddings: Of the frames' sounds, (T, A).
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    annotated: NDArray[np.bool_]
    clap_embeddings: Tensor


@dataclass(frozen=True)
class _Baseline:
    """Options of both.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data with every frame annotated, each "subset/split", measured on the
            way and at the end.
        off_screen: Clips added that have the sound of something outside the picture, and nothing
            to mark: how many for each clip of the data, at least 0.
        tested: Evaluation data likewise, measured at the end only.
    """

    train: tuple[str, ...]
    measured: tuple[str, ...]
    off_screen: float
    tested: tuple[str, ...] = ()

    def _task(
        self,
        materials: Materials[Any],
        model: nn.Module,
        clap: ClapAudioTower,
        in_frames: bool,
    ) -> Task:
        """Build the task around a model whose parts are in place."""
        names = (*self.train, *self.measured, *self.tested)
        splits = open_splits(materials.data, names, materials.config.sample_rate)
        processor = FrameSoundProcessor.from_config(materials.config)
        heard = {
            name: listen(name, splits[name], clap, processor.window_s)
            for name in dict.fromkeys(names)
        }
        clips = [clip for name in self.train for clip in heard[name]]
        if self.off_screen:
            contents = [c for name in self.train for c in contents_of(name, splits[name])]
            clips += dub_off_screen(clips, contents, self.off_screen)

        def evaluated(names: Sequence[str]) -> dict[str, Dataset[Any]]:
            for name in names:
                _check_annotated(name, heard[name])
            return {name.replace("/", "_"): Clips(heard[name]) for name in names}

        return Task(
            model=model,
            train=Clips(single_frames(clips) if in_frames else clips),
            measured=evaluated(self.measured),
            tested=evaluated(self.tested),
            collate=lambda clips: collate(clips, processor),
            measure=MaskMeasure,
            finish=processor.save_pretrained,
            frames_of=lambda clip: clip.frames,
        )


@dataclass(frozen=True)
class Sama(_Baseline):
    """Training of SAMA-AVS, on single frames."""

    config_class: ClassVar[type[Any]] = SamaConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {"sam": SEGMENTER + "sam.", "clap": TOWER}

    def build(self, materials: Materials[SamaConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.

        Raises:
            TrainingError: If there is no folder of data sets, a data set's name is not of that
                form or does not suit, a part does not fit, or off-screen sounds are asked of data
                that does not tell what is in the picture.
            DatasetError: If a data set is not there.
        """
        model = SamaModel(materials.config)
        modules = {"sam": model.get_submodule("sam"), "clap": model.clap, WHOLE: model}
        load_parts(modules, materials.parts)
        return self._task(materials, model, model.clap, in_frames=True)


@dataclass(frozen=True)
class Tpavi(_Baseline):
    """Training of AVSBench's model, on whole clips."""

    config_class: ClassVar[type[Any]] = TpaviConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "hiera": SEGMENTER + "sam.sam2.vision_encoder.backbone.",
        "clap": TOWER,
    }

    def build(self, materials: Materials[TpaviConfig]) -> Task:
        """Build the task.

        Args:
            materials: What it builds on.

        Returns:
            The task.

        Raises:
            TrainingError: If there is no folder of data sets, a data set's name is not of that
                form or does not suit, a part does not fit, or off-screen sounds are asked of data
                that does not tell what is in the picture.
            DatasetError: If a data set is not there.
        """
        model = TpaviModel(materials.config)
        modules = {"hiera": model.encoder.hiera, "clap": model.clap, WHOLE: model}
        load_parts(modules, materials.parts)
        return self._task(materials, model, model.clap, in_frames=False)


class Clips(Dataset[HeardClip]):
    """The clips.

    Args:
        clips: The clips.
    """

    def __init__(self, clips: Sequence[HeardClip]) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> HeardClip:
        return self.clips[index]


@torch.no_grad()
def listen(name: str, split: AVSBench, clap: ClapAudioTower, window_s: float) -> list[HeardClip]:
    """Run the audio tower over the clips of a split.

    Args:
        name: Of the split, for the log.
        split: The clips.
        clap: The audio tower.
        window_s: Sound that belongs to a frame, in seconds.

    Returns:
        The clips with what the tower says of their sounds.
    """
    _log.info("listening to the %d clips of %s", len(split), name)
    clap.eval()
    return [
        HeardClip(
            clip.clip.frames,
            clip.masks,
            clip.annotated,
            clap(torch.from_numpy(clip.clip.sound_windows(window_s))),
        )
        for clip in split
    ]


def single_frames(clips: Sequence[HeardClip]) -> list[HeardClip]:
    """Take clips apart: every annotated frame becomes a clip of one frame."""
    return [
        HeardClip(
            clip.frames[t : t + 1],
            clip.masks[t : t + 1],
            clip.annotated[t : t + 1],
            clip.clap_embeddings[t : t + 1],
        )
        for clip in clips
        for t in np.flatnonzero(clip.annotated)
    ]


def dub_off_screen(
    clips: Sequence[HeardClip], contents: Sequence[Contents], share: float
) -> list[HeardClip]:
    """Give clips the sound of others of which nothing is in the picture, and nothing to mark.

    The choice depends on the data alone. A clip for which no sound can be found is left out.

    Args:
        clips: Clips with equally many frames.
        contents: What each of them shows and sounds of.
        share: How many dubbed clips for each clip, at least 0.

    Returns:
        The dubbed clips.

    Raises:
        ValueError: If the share is below 0.
    """
    if share < 0:
        raise ValueError(f"off_screen must be at least 0, got {share}.")
    rng = np.random.default_rng(0)
    sounding = np.flatnonzero([bool(content.heard) for content in contents])
    dubbed = []
    for number in rng.integers(len(clips), size=round(share * len(clips))):
        clip, visible = clips[number], contents[number].visible
        lenders = (i for i in rng.permutation(sounding) if not contents[i].heard & visible)
        lender = next(lenders, None)
        if lender is not None:
            nothing = np.zeros_like(clip.masks)
            heard = clips[lender].clap_embeddings
            dubbed.append(replace(clip, masks=nothing, clap_embeddings=heard))
    return dubbed


def collate(clips: Sequence[HeardClip], processor: FrameSoundProcessor) -> dict[str, Tensor]:
    """Make a batch of the model's inputs.

    Args:
        clips: Clips with equally many frames of one size.
        processor: The model's processor.

    Returns:
        Inputs of `SamaModel` or `TpaviModel`.
    """
    pictures = processor.pictures(np.concatenate([clip.frames for clip in clips]))
    return {
        "pixel_values": pictures.unflatten(0, (len(clips), -1)),
        "clap_embeddings": torch.stack([clip.clap_embeddings for clip in clips]),
        "targets": torch.from_numpy(np.stack([clip.masks for clip in clips])),
        "annotated": torch.from_numpy(np.stack([clip.annotated for clip in clips])),
    }


def _check_annotated(name: str, clips: Sequence[HeardClip]) -> None:
    if not all(clip.annotated.all() for clip in clips):
        raise TrainingError(
            f"data: {name} has frames whose mask nobody knows; measure on a split with all masks, "
            "for instance s4/val."
        )
