"""What the bridge is compared with: SAMA-AVS and AVSBench's own model, on the same clips.

The audio tower never trains, so what it says is computed once and kept (`feature_cache`). T frames
of a clip, A width of an audio embedding.
"""

from collections.abc import Callable, Sequence
from typing import Any

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
from avseg.training.parts import WHOLE, load_parts
from avseg.training.tasks.audio_visual import contents_of, hearing_tower, open_splits
from avseg.training.tasks.options import BaselineOptions, Sama, Tpavi
from avseg.training.tasks.task import Task, TaskInputs


def build_sama(options: Sama, inputs: TaskInputs[SamaConfig]) -> Task:
    """Build the training of SAMA-AVS, on single frames.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", evaluation data has frames without ground truth, a part does not
            fit, or off-screen sounds are wanted from data without a list of its visible objects.
        DatasetError: If a data set is missing.
    """
    model = SamaModel(inputs.config)
    modules = {"sam": model.get_submodule("sam"), "clap": model.clap, WHOLE: model}
    load_parts(modules, inputs.parts)
    return _build(options, inputs, model, in_single_frames)


def build_tpavi(options: Tpavi, inputs: TaskInputs[TpaviConfig]) -> Task:
    """Build the training of AVSBench's own model, on whole clips.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", evaluation data has frames without ground truth, a part does not
            fit, or off-screen sounds are wanted from data without a list of its visible objects.
        DatasetError: If a data set is missing.
    """
    model = TpaviModel(inputs.config)
    modules = {"hiera": model.encoder.hiera, "clap": model.clap, WHOLE: model}
    load_parts(modules, inputs.parts)
    return _build(options, inputs, model, in_clips)


def _build(
    options: BaselineOptions,
    inputs: TaskInputs[Any],
    model: SamaModel | TpaviModel,
    arrange: Callable[[EmbeddedClips, Sequence[Dub[WholeClip]]], Excerpts],
) -> Task:
    """Build the task around a model with loaded parts; `arrange` makes its training examples."""
    names = (*options.train, *options.measured, *options.tested)
    splits = open_splits(inputs.data, names, inputs.config.sample_rate)
    for name in (*options.measured, *options.tested):
        _check_annotated(name, splits[name])
    processor = FrameAudioProcessor.from_config(inputs.config)
    model.to(inputs.device).train(mode=False)  # type: ignore[arg-type]  # transformers' stub
    towers = [hearing_tower(model.clap, processor.window_s)]

    def read(*names: str) -> EmbeddedClips:
        chosen = [splits[name] for name in names]
        return EmbeddedClips(chosen, towers, inputs.features, processor.window_s, whole=True)

    def read_each(names: Sequence[str]) -> dict[str, Dataset[Any]]:
        return {name.replace("/", "_"): read(name) for name in names}

    clips = read(*options.train)
    dubs: list[Dub[WholeClip]] = []
    if options.off_screen:
        contents = [c for name in options.train for c in contents_of(name, splits[name])]
        dubs = draw_clip_dubs(contents, options.off_screen)
    return Task(
        model=model,
        train=arrange(clips, dubs),
        measured=read_each(options.measured),
        tested=read_each(options.tested),
        collate=lambda clips: collate(clips, processor),
        measure=MaskMeasure,
        finish=processor.save_pretrained,
        frames_of=lambda clip: clip.frames,
    )


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
