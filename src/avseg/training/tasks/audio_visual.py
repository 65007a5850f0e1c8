"""The bridge from sound to text space: AV2T-SAM on annotated clips, its backbones frozen.

What the frozen towers say of a frame and its sound never changes, so it is computed once and kept
(`feature_cache`). T frames of a clip, V / A width of CLIP's / CLAP's embedding.
"""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.config import StrictConfig, options_of
from avseg.datasets.avsbench import AVSBench
from avseg.datasets.layout import Subset
from avseg.errors import TrainingError
from avseg.models.av2t_sam.configuration import Av2tSamConfig
from avseg.models.av2t_sam.modeling import Av2tSamModel
from avseg.models.av2t_sam.processing import Av2tSamProcessor
from avseg.synthavs.contents import ClipContents, find_synthavs_split, read_contents
from avseg.training.clips import Dub, EmbeddedClip, EmbeddedClips, Frames, Place, draw_dubs
from avseg.training.feature_cache import Features, FrozenTower
from avseg.training.measures import MaskMeasure
from avseg.training.parts import WHOLE, load_parts
from avseg.training.tasks.options import AudioVisual
from avseg.training.tasks.task import Task, TaskInputs


def build_audio_visual(options: AudioVisual, inputs: TaskInputs[Av2tSamConfig]) -> Task:
    """Build the training of AV2T-SAM; parts that the model's features leave out are not loaded.

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
    model = Av2tSamModel(inputs.config)
    modules = {
        "clip": model.clip,
        "clap": model.clap,
        "segmenter": model.segmenter,
        WHOLE: model,
    }
    load_parts(modules, inputs.parts)
    processor = Av2tSamProcessor.from_config(inputs.config)

    model.to(inputs.device).train(mode=False)  # type: ignore[arg-type]  # transformers' stub
    towers = frozen_towers(model, processor)

    def read(*names: str) -> EmbeddedClips:
        return EmbeddedClips(
            [splits[name] for name in names], towers, inputs.features, processor.window_s
        )

    def read_each(names: Iterable[str]) -> dict[str, Dataset[Any]]:
        return {name.replace("/", "_"): read(name) for name in names}

    clips = read(*options.train)
    dubs: list[Dub[Place]] = []
    if options.off_screen and model.clap is not None:
        contents = [c for name in options.train for c in contents_of(name, splits[name])]
        dubs = draw_dubs(clips, contents, options.off_screen)
    return Task(
        model=model,
        train=Frames(clips, dubs),
        measured=read_each(options.measured),
        tested=read_each(options.tested),
        collate=lambda clips: collate(clips, processor, needs_sam=inputs.config.adapters),
        measure=MaskMeasure,
        finish=processor.save_pretrained,
        frames_of=lambda clip: clip.frames,
    )


def frozen_towers(model: Av2tSamModel, processor: Av2tSamProcessor) -> list[FrozenTower]:
    """List the parts whose features depend on nothing that trains.

    Args:
        model: The model, with its weights in place and where they are to be computed with.
        processor: Its processor.

    Returns:
        `clap_embeddings` (T, A) and `clip_embeddings` (T, V), those that the model uses; without
        adapters also `image_features`, the levels of the image encoder in float16.
    """
    config, prepared = model.config, asdict(processor)

    def settings(tower: StrictConfig) -> dict[str, Any]:
        return {"tower": options_of(tower), "processor": prepared}

    def show(name: str, frames: NDArray[Any]) -> Tensor:
        return processor.prepare_frames(frames, (name,))[f"pixel_values_{name}"].to(model.device)

    towers = []
    if (clap := model.clap) is not None:
        towers.append(hearing_tower(clap, processor.window_s))
    if (clip := model.clip) is not None:

        def look(frames: NDArray[Any]) -> Features:
            return (clip(show("clip", frames)),)

        towers.append(
            FrozenTower("clip_embeddings", "frames", clip, settings(config.clip_config), look)
        )
    if model.adapters is None:
        sam = model.segmenter.sam

        def encode(frames: NDArray[Any]) -> Features:
            levels = sam.encode_images(show("sam", frames)).levels
            return tuple(level.half() for level in levels)

        towers.append(
            FrozenTower(
                "image_features",
                "frames",
                model.segmenter.get_submodule("sam"),
                settings(config.sam_config) | {"stored": "float16"},
                encode,
            )
        )
    return towers


def hearing_tower(clap: ClapAudioTower, window_s: float) -> FrozenTower:
    """Describe CLAP's part, whose features models of any family share.

    Args:
        clap: The audio tower, with its weights in place and where they are to be computed with.
        window_s: Sound that belongs to a frame, in seconds.

    Returns:
        `clap_embeddings` (T, A).
    """

    def hear(windows: NDArray[Any]) -> Features:
        return (clap(torch.from_numpy(windows).to(clap.mel_bank.device)),)

    settings = {"tower": options_of(clap.config), "window_s": window_s}
    return FrozenTower("clap_embeddings", "sound", clap, settings, hear)


def collate(
    clips: list[EmbeddedClip], processor: Av2tSamProcessor, needs_sam: bool
) -> dict[str, Any]:
    """Make a batch of the model's inputs.

    Args:
        clips: Clips with equally many frames of one size.
        processor: The model's processor.
        needs_sam: Whether the image encoder has to run.

    Returns:
        Inputs of `Av2tSamModel`.
    """
    frames = np.concatenate([clip.frames for clip in clips])
    shape = (len(clips), len(clips[0].frames))
    backbones = ("beit3", "sam") if needs_sam else ("beit3",)
    batch: dict[str, Any] = {
        name: values.unflatten(0, shape)
        for name, values in processor.prepare_frames(frames, backbones).items()
    }
    for name in clips[0].features:
        levels = zip(*(clip.features[name] for clip in clips), strict=True)
        stacked = tuple(torch.stack(level).float() for level in levels)
        batch[name] = stacked if name == "image_features" else stacked[0]
    batch["targets"] = torch.from_numpy(np.stack([clip.masks for clip in clips]))
    return batch


def contents_of(name: str, split: AVSBench) -> list[ClipContents]:
    """Read what each clip of a split shows and sounds of.

    Args:
        name: Of the split, for the error.
        split: The clips.

    Returns:
        The contents, in the order of the clips.

    Raises:
        TrainingError: If the data does not tell.
    """
    contents = read_contents(split, find_synthavs_split(split))
    if contents is None:
        raise TrainingError(
            f"data.off_screen: {name} in {split.folder} does not tell what is in the picture; only "
            "SynthAVS and s4 do. Set data.off_screen=0.0, or leave that data set out."
        )
    return contents


def open_splits(data: Path | None, names: Iterable[str], sample_rate: int) -> dict[str, AVSBench]:
    """Open data sets.

    Args:
        data: Folder of the data sets.
        names: Name of each, "subset/split", as validated.
        sample_rate: Sample rate of the audio, in Hz.

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
        splits[name] = AVSBench(data, cast(Subset, subset), split, sample_rate)
    return splits
