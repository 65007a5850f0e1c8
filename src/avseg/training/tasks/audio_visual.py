"""The bridge from sound to text space: AV2T-SAM on annotated clips, its backbones frozen.

What the frozen towers say of a frame and its sound never changes, so it is computed once and kept
(`feature_cache`). T frames of a clip, V / A width of CLIP's / CLAP's embedding.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

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
from avseg.training.parts import SEGMENTER, TOWER, WHOLE, load_parts
from avseg.training.tasks.task import Materials, Task


@dataclass(frozen=True)
class AudioVisual:
    """Training of AV2T-SAM.

    Attributes:
        train: Training data, each "subset/split".
        measured: Evaluation data, each "subset/split", measured on the way and at the end.
        off_screen: Frames added that have the sound of something outside the picture, and nothing
            to mark: how many for each frame of the data, at least 0. A model that hears nothing
            takes none.
        tested: Evaluation data, each "subset/split", measured at the end only.
    """

    config_class: ClassVar[type[Any]] = Av2tSamConfig
    part_prefixes: ClassVar[Mapping[str, str]] = {
        "clip": TOWER,
        "clap": TOWER,
        "segmenter": SEGMENTER,
    }

    train: tuple[str, ...]
    measured: tuple[str, ...]
    off_screen: float
    tested: tuple[str, ...] = ()

    def build(self, materials: Materials[Av2tSamConfig]) -> Task:
        """Build the task; parts that the model's features leave out are not loaded.

        Args:
            materials: What it builds on.

        Returns:
            The task.

        Raises:
            TrainingError: If there is no folder of data sets, a data set's name is not of that
                form, a part does not fit, or off-screen sounds are asked of data that does not tell
                what is in the picture.
            DatasetError: If a data set is not there.
        """
        rate = materials.config.clap_config.sample_rate
        splits = open_splits(materials.data, (*self.train, *self.measured, *self.tested), rate)
        model = Av2tSamModel(materials.config)
        modules = {
            "clip": model.clip,
            "clap": model.clap,
            "segmenter": model.segmenter,
            WHOLE: model,
        }
        load_parts(modules, materials.parts)
        processor = Av2tSamProcessor.from_config(materials.config)

        model.to(materials.device).train(mode=False)  # type: ignore[arg-type]  # transformers' stub
        towers = frozen_towers(model, processor)

        def read(*names: str) -> EmbeddedClips:
            return EmbeddedClips(
                [splits[name] for name in names], towers, materials.features, processor.window_s
            )

        def read_each(names: Iterable[str]) -> dict[str, Dataset[Any]]:
            return {name.replace("/", "_"): read(name) for name in names}

        clips = read(*self.train)
        dubs: list[Dub[Place]] = []
        if self.off_screen and model.clap is not None:
            contents = [c for name in self.train for c in contents_of(name, splits[name])]
            dubs = draw_dubs(clips, contents, self.off_screen)
        return Task(
            model=model,
            train=Frames(clips, dubs),
            measured=read_each(self.measured),
            tested=read_each(self.tested),
            collate=lambda clips: collate(clips, processor, needs_sam=materials.config.adapters),
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
    """Open the data sets that a recipe names.

    Args:
        data: Folder of the data sets.
        names: Each "subset/split".
        sample_rate: Of the sound, in Hz.

    Returns:
        Name to data set.

    Raises:
        TrainingError: If there is no folder, or a name is not of that form.
        DatasetError: If a data set is not there.
    """
    if data is None:
        raise TrainingError(
            "an audio-visual recipe reads data sets; give their folder with --data "
            "(`avseg data synthesize` makes some)."
        )
    return {name: _open_split(data, name, sample_rate) for name in names}


def _open_split(data: Path, name: str, sample_rate: int) -> AVSBench:
    subset, slash, split = name.partition("/")
    subsets: tuple[Subset, ...] = get_args(Subset)
    for known in subsets:
        if slash and known == subset:
            return AVSBench(data, known, split, sample_rate)
    raise TrainingError(
        f"data: {name!r} must be SUBSET/SPLIT with a subset of {', '.join(subsets)}, for instance "
        "ms3/train."
    )
