"""The tasks that train AV2T-SAM, on EVF-SAM or on SAM 3, with frozen backbones.

The embeddings of the frozen towers never change, so they are computed once and cached
(`feature_cache`). A clip has T frames; V and A are the widths of CLIP's and CLAP's embeddings.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import Dataset

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.config import StrictConfig, options_of
from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import Subset
from avseg.errors import TrainingError
from avseg.models.auto import FAMILIES
from avseg.models.av2t_sam.bridge import BridgeModel
from avseg.models.av2t_sam.configuration import BridgeConfig
from avseg.models.av2t_sam.processing import Av2tSam3Processor, Av2tSamProcessor
from avseg.synthavs.contents import ClipContents, find_synthavs_split, read_contents
from avseg.training.clips import (
    EmbeddedClip,
    EmbeddedClips,
    FrameIndex,
    OffScreenPair,
    SingleFrames,
    draw_off_screen_frames,
)
from avseg.training.feature_cache import Features, FrozenTower
from avseg.training.measures import MaskMeasure
from avseg.training.parts import WHOLE, load_parts
from avseg.training.tasks.options import BridgeOptions
from avseg.training.tasks.task import Task, TaskInputs, write_when_complete

#: Processor of either model.
_Processor = Av2tSamProcessor | Av2tSam3Processor


def build_audio_visual(options: BridgeOptions, inputs: TaskInputs[BridgeConfig]) -> Task:
    """Build the training of AV2T-SAM; weights of towers that the model does not use are not loaded.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", a part does not fit, or off-screen sounds are wanted from data
            without a list of its visible objects.
        DatasetError: If a data set is missing.
    """
    rate = inputs.config.clap_config.sample_rate
    names = (*options.train, *options.measured, *options.tested)
    splits = open_splits(inputs.data, names, rate)
    family = FAMILIES[inputs.config.model_type]
    model: Any = family.model(inputs.config)
    modules = {
        "clip": model.clip,
        "clap": model.clap,
        "segmenter": model.segmenter,
        WHOLE: model,
    }
    load_parts(modules, inputs.parts)
    processor: Any = family.processor.from_config(inputs.config)

    # On the device already: the towers compute features here, before the trainer moves the model.
    model.to(inputs.device).train(mode=False)
    towers = frozen_towers(model, processor)
    backbones = step_backbones(model)

    def read(*names: str) -> EmbeddedClips:
        return EmbeddedClips(
            [splits[name] for name in names], towers, inputs.features, processor.window_s
        )

    def read_each(names: Iterable[str]) -> dict[str, Dataset[Any]]:
        return {name.replace("/", "_"): read(name) for name in names}

    clips = read(*options.train)
    pairs: list[OffScreenPair[FrameIndex]] = []
    # A model without audio would get the same frame with two contradictory ground truths.
    if options.off_screen and model.clap is not None:
        contents = [c for name in options.train for c in read_split_contents(name, splits[name])]
        pairs = draw_off_screen_frames(clips, contents, options.off_screen)
    return Task(
        model=model,
        train=SingleFrames(clips, pairs),
        measured=read_each(options.measured),
        tested=read_each(options.tested),
        collate=lambda clips: collate(clips, processor, backbones),
        measure=MaskMeasure,
        finish=write_when_complete(processor.save_pretrained),
        frames_of=lambda clip: clip.frames,
    )


def step_backbones(model: BridgeModel) -> tuple[str, ...]:
    """Return the names of the backbones that need pixels in every training step.

    Args:
        model: The model.

    Returns:
        The backbones whose output depends on trainable weights, or is not cached.
    """
    # Trainable adapters in the image encoder change its features.
    of_adapters = () if model.adapters is None else (model.image_backbone,)
    return (*model.text_backbones, *of_adapters)


def frozen_towers(model: BridgeModel, processor: _Processor) -> list[FrozenTower]:
    """Return the towers of a model whose features depend on no trainable weight.

    Args:
        model: The model, with its weights loaded, on the device that computes the features.
        processor: Processor of the model.

    Returns:
        The towers that the model uses, with the features `clap_embeddings` (T, A) and
        `clip_embeddings` (T, V). Without adapters also `image_features`, the levels of the image
        encoder in float16.
    """
    # Cached features depend on the preprocessing too, so it is a part of their key.
    preprocessing = asdict(processor)

    def settings(tower: nn.Module) -> dict[str, Any]:
        sizes: Any = tower.config
        options = options_of(sizes) if isinstance(sizes, StrictConfig) else sizes.to_dict()
        return {"tower": options, "processor": preprocessing}

    def prepare(name: str, frames: NDArray[Any]) -> Tensor:
        return processor.prepare_frames(frames, (name,))[f"pixel_values_{name}"].to(model.device)

    towers = []
    if (clap := model.clap) is not None:
        towers.append(clap_tower(clap, processor.window_s))
    if (clip := model.clip) is not None:

        def embed(frames: NDArray[Any]) -> Features:
            return (clip(prepare("clip", frames)),)

        towers.append(FrozenTower("clip_embeddings", "frames", clip, settings(clip), embed))
    if model.image_backbone not in step_backbones(model):
        image_tower = model.image_tower

        def encode(frames: NDArray[Any]) -> Features:
            # float16 halves the cache: the levels of one frame at 1024 pixels are megabytes.
            levels = model.encode_frames(prepare(model.image_backbone, frames))
            return tuple(level.half() for level in levels)

        stored = settings(image_tower) | {"stored": "float16"}
        towers.append(FrozenTower("image_features", "frames", image_tower, stored, encode))
    return towers


def clap_tower(clap: ClapAudioTower, window_s: float) -> FrozenTower:
    """Return CLAP as a frozen tower; every model with the same CLAP shares its cached features.

    Args:
        clap: The audio tower, with its weights loaded, on the device that computes the features.
        window_s: Length of the audio that belongs to a frame, in seconds.

    Returns:
        The tower with the features `clap_embeddings` (T, A).
    """

    def embed(windows: NDArray[Any]) -> Features:
        return (clap(torch.from_numpy(windows).to(clap.mel_bank.device)),)

    settings = {"tower": options_of(clap.config), "window_s": window_s}
    return FrozenTower("clap_embeddings", "audio", clap, settings, embed)


def collate(
    clips: list[EmbeddedClip], processor: _Processor, backbones: Sequence[str]
) -> dict[str, Any]:
    """Collate clips to a batch of the model's inputs.

    Args:
        clips: Clips with equally many frames of one size.
        processor: Processor of the model.
        backbones: Names of the backbones that need pixels, from `step_backbones`.

    Returns:
        Inputs of the model.
    """
    # All frames of the batch are resized together, then split into clips again.
    frames = np.concatenate([clip.frames for clip in clips])
    shape = (len(clips), len(clips[0].frames))
    batch: dict[str, Any] = {
        name: values.unflatten(0, shape)
        for name, values in processor.prepare_frames(frames, backbones).items()
    }
    for name in clips[0].features:
        levels = zip(*(clip.features[name] for clip in clips), strict=True)
        # Cached levels are float16; the model computes in float32, or under autocast.
        stacked = tuple(torch.stack(level).float() for level in levels)
        batch[name] = stacked if name == "image_features" else stacked[0]
    batch["targets"] = torch.from_numpy(np.stack([clip.masks for clip in clips]))
    return batch


def read_split_contents(name: str, split: AVSBench) -> list[ClipContents]:
    """Read the visible and audible categories of each clip of a split.

    Args:
        name: Name of the split, for the error.
        split: The split.

    Returns:
        The categories, in the order of the clips.

    Raises:
        TrainingError: If the data set has no list of its visible categories.
    """
    contents = read_contents(split, find_synthavs_split(split))
    if contents is None:
        raise TrainingError(
            f"data.off_screen: {name} in {split.folder} does not list its visible categories; only "
            "SynthAVS and s4 do. Set data.off_screen=0.0, or leave that data set out."
        )
    return contents


def open_splits(
    data: Path | None, names: Iterable[str], sample_rate: int, audio_channels: int = 1
) -> dict[str, AVSBench]:
    """Open data sets.

    Args:
        data: Folder of the data sets.
        names: Name of each, "subset/split", as validated.
        sample_rate: Sample rate of the audio, in Hz.
        audio_channels: Number of audio channels of a clip, 1 or 2.

    Returns:
        Name -> data set.

    Raises:
        ValueError: If there is no folder.
        DatasetError: If a data set is missing.
    """
    if data is None:
        raise ValueError("data must be the folder of the data sets, got None.")
    splits = {}
    for name in names:
        subset, _, split = name.partition("/")
        # `validation` has checked that the subset exists, so the cast is safe.
        splits[name] = AVSBench(data, cast(Subset, subset), split, sample_rate, audio_channels)
    return splits
