"""What the bridge is compared with: SAMA-AVS and AVSBench's own model, on the same clips.

The audio tower never trains, so what it says is computed once and kept (`feature_cache`). T frames
of a clip, A width of an audio embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from avseg.datasets.avsbench import AVSBench
from avseg.errors import TrainingError
from avseg.models.frame_audio import FrameAudioProcessor
from avseg.models.sama import SamaConfig, SamaModel
from avseg.models.tpavi import TpaviConfig, TpaviModel
from avseg.training.clips import (
    Dub,
    EmbeddedClip,
    EmbeddedClips,
    Excerpts,
    Frames,
    Place,
    WholeClip,
    draw_clip_dubs,
)
from avseg.training.measures import MaskMeasure
from avseg.training.parts import SEGMENTER, TOWER, WHOLE, load_parts
from avseg.training.tasks.audio_visual import contents_of, hearing_tower, open_splits
from avseg.training.tasks.task import Materials, Task


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
        self, materials: Materials[Any], model: SamaModel | TpaviModel, in_frames: bool
    ) -> Task:
        """Build the task around a model whose parts are in place."""
        names = (*self.train, *self.measured, *self.tested)
        splits = open_splits(materials.data, names, materials.config.sample_rate)
        for name in (*self.measured, *self.tested):
            _check_annotated(name, splits[name])
        processor = FrameAudioProcessor.from_config(materials.config)
        model.to(materials.device).train(mode=False)  # type: ignore[arg-type]  # transformers' stub
        towers = [hearing_tower(model.clap, processor.window_s)]

        def read(*names: str) -> EmbeddedClips:
            chosen = [splits[name] for name in names]
            window_s = processor.window_s
            return EmbeddedClips(chosen, towers, materials.features, window_s, whole=True)

        def read_each(names: Sequence[str]) -> dict[str, Dataset[Any]]:
            return {name.replace("/", "_"): read(name) for name in names}

        clips = read(*self.train)
        dubs: list[Dub[WholeClip]] = []
        if self.off_screen:
            contents = [c for name in self.train for c in contents_of(name, splits[name])]
            dubs = draw_clip_dubs(contents, self.off_screen)
        return Task(
            model=model,
            train=in_single_frames(clips, dubs) if in_frames else in_clips(clips, dubs),
            measured=read_each(self.measured),
            tested=read_each(self.tested),
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
        return self._task(materials, model, in_frames=True)


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
        return self._task(materials, model, in_frames=False)


def in_clips(clips: EmbeddedClips, dubs: Sequence[Dub[WholeClip]]) -> Excerpts:
    """Take clips as they are.

    Args:
        clips: The clips.
        dubs: Clips to add with the sound of another.

    Returns:
        The clips, then the dubbed ones.
    """
    return Excerpts(clips, [WholeClip(number) for number in range(len(clips))], dubs)


def in_single_frames(clips: EmbeddedClips, dubs: Sequence[Dub[WholeClip]]) -> Frames:
    """Take clips apart: every annotated frame becomes a clip of one frame.

    Args:
        clips: The clips.
        dubs: Clips to add with the sound of another, frame for frame.

    Returns:
        The frames, then the dubbed ones.
    """
    dubbed = [
        Dub(Place(picture.clip, frame), Place(sound.clip, frame))
        for picture, sound in dubs
        for frame in clips.seconds(picture.clip)
    ]
    return Frames(clips, dubbed)


def collate(clips: Sequence[EmbeddedClip], processor: FrameAudioProcessor) -> dict[str, Tensor]:
    """Make a batch of the model's inputs.

    Args:
        clips: Clips with equally many frames of one size.
        processor: The model's processor.

    Returns:
        Inputs of `SamaModel` or `TpaviModel`.
    """
    pictures = processor.prepare_frames(np.concatenate([clip.frames for clip in clips]))
    return {
        "pixel_values": pictures.unflatten(0, (len(clips), -1)),
        "clap_embeddings": torch.stack([clip.features["clap_embeddings"][0] for clip in clips]),
        "targets": torch.from_numpy(np.stack([clip.masks for clip in clips])),
        "annotated": torch.from_numpy(np.stack([clip.annotated for clip in clips])),
    }


def _check_annotated(name: str, split: AVSBench) -> None:
    if any(entry.annotated_seconds < entry.seconds for entry in split.entries):
        raise TrainingError(
            f"data: {name} has frames whose mask nobody knows; measure on a split with all masks, "
            "for instance s4/val."
        )
