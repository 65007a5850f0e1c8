"""The bridge from sound to text space: AV2T-SAM on annotated clips, its backbones frozen.

What the frozen towers say of a frame and its sound never changes, so it is computed once, before
training. T frames of a clip, H x W size of a frame, V / A width of CLIP's / CLAP's embedding.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.datasets.contents import Contents, find_generated, read_contents
from avseg.datasets.layout import Subset
from avseg.errors import TrainingError
from avseg.models.av2t_sam.configuration import Av2tSamConfig
from avseg.models.av2t_sam.modeling import Av2tSamModel
from avseg.models.av2t_sam.processing import Av2tSamProcessor
from avseg.training.measures import MaskMeasure
from avseg.training.parts import SEGMENTER, TOWER, WHOLE, load_parts
from avseg.training.task import Materials, Task

_log = logging.getLogger(__name__)

#: One embedding of each frame, (T, ...), or the levels of its image features.
Embedding = Tensor | tuple[Tensor, ...]


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

        def read(names: Iterable[str]) -> list[EmbeddedClip]:
            clips = []
            for name in names:
                _log.info("embedding the %d clips of %s", len(splits[name]), name)
                clips += [embed_clip(model, processor, clip) for clip in splits[name]]
            return clips

        def read_each(names: Iterable[str]) -> dict[str, Dataset[Any]]:
            return {name.replace("/", "_"): Clips(read([name])) for name in names}

        clips = read(self.train)
        dubs: list[Dub] = []
        if self.off_screen and model.clap is not None:
            contents = [c for name in self.train for c in _read_contents(name, splits[name])]
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


@dataclass(frozen=True)
class EmbeddedClip:
    """The annotated frames of a clip, as training needs them.

    Attributes:
        frames: (T, H, W, 3) uint8.
        masks: (T, H, W) bool.
        embeddings: `clip_embeddings` (T, V) and `clap_embeddings` (T, A), those that the model
            uses; without adapters also `image_features`, its levels in float16.
    """

    frames: NDArray[np.uint8]
    masks: NDArray[np.bool_]
    embeddings: Mapping[str, Embedding]


class Place(NamedTuple):
    """A frame among many clips.

    Attributes:
        clip: Number of the clip.
        frame: Number of the frame among the clip's annotated ones.
    """

    clip: int
    frame: int


class Dub(NamedTuple):
    """A frame with a sound that nothing in its picture makes.

    Attributes:
        picture: The frame.
        sound: The frame that lends its sound.
    """

    picture: Place
    sound: Place


class Frames(Dataset[EmbeddedClip]):
    """Every frame of the clips, as a clip of one frame; then the dubbed ones.

    Args:
        clips: The clips.
        dubs: Frames added with the sound of another, and nothing to mark.
    """

    def __init__(self, clips: list[EmbeddedClip], dubs: Sequence[Dub] = ()) -> None:
        self.clips = clips
        self.places = _places(clips)
        self.dubs = dubs

    def __len__(self) -> int:
        return len(self.places) + len(self.dubs)

    def __getitem__(self, index: int) -> EmbeddedClip:
        if index < len(self.places):
            return self._read(self.places[index])
        dub = self.dubs[index - len(self.places)]
        frame, sound = self._read(dub.picture), self._read(dub.sound)
        return EmbeddedClip(
            frame.frames,
            np.zeros_like(frame.masks),
            {**frame.embeddings, "clap_embeddings": sound.embeddings["clap_embeddings"]},
        )

    def _read(self, place: Place) -> EmbeddedClip:
        clip, here = self.clips[place.clip], slice(place.frame, place.frame + 1)
        embeddings: dict[str, Embedding] = {
            name: tuple(level[here] for level in values)
            if isinstance(values, tuple)
            else values[here]
            for name, values in clip.embeddings.items()
        }
        return EmbeddedClip(clip.frames[here], clip.masks[here], embeddings)


class Clips(Dataset[EmbeddedClip]):
    """The clips, whole.

    Args:
        clips: The clips.
    """

    def __init__(self, clips: list[EmbeddedClip]) -> None:
        self.clips = clips

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> EmbeddedClip:
        return self.clips[index]


def draw_dubs(
    clips: Sequence[EmbeddedClip], contents: Sequence[Contents], share: float
) -> list[Dub]:
    """Pair frames with sounds from outside their pictures.

    The pairs depend on the data alone. A frame for which no sound can be found is left out.

    Args:
        clips: The clips.
        contents: What each of them shows and sounds of.
        share: How many pairs for each frame of the clips, at least 0.

    Returns:
        The pairs.

    Raises:
        ValueError: If the share is below 0.
    """
    if share < 0:
        raise ValueError(f"off_screen must be at least 0, got {share}.")
    rng = np.random.default_rng(0)
    places = _places(clips)
    sounding = [place for place in places if clips[place.clip].masks[place.frame].any()]
    dubs = []
    for choice in rng.integers(len(places), size=round(share * len(places))):
        picture = places[choice]
        visible = contents[picture.clip].visible
        lenders = (sounding[i] for i in rng.permutation(len(sounding)))
        sound = next((p for p in lenders if not contents[p.clip].heard & visible), None)
        if sound is not None:
            dubs.append(Dub(picture, sound))
    return dubs


def _places(clips: Sequence[EmbeddedClip]) -> list[Place]:
    return [Place(c, t) for c, clip in enumerate(clips) for t in range(len(clip.frames))]


@torch.no_grad()
def embed_clip(
    model: Av2tSamModel, processor: Av2tSamProcessor, clip: AnnotatedClip
) -> EmbeddedClip:
    """Run the frozen parts over the annotated frames of a clip.

    Args:
        model: The model.
        processor: Its processor.
        clip: The clip.

    Returns:
        These frames with what the frozen parts say of them.
    """
    model.eval()
    known = clip.annotated
    frames = clip.clip.frames[known]
    embeddings: dict[str, Embedding] = {}
    if model.clap is not None:
        windows = clip.clip.sound_windows(processor.window_s)[known]
        embeddings["clap_embeddings"] = model.clap(torch.from_numpy(windows))
    if model.clip is not None:
        pixels = processor.pictures(frames, ("clip",))["pixel_values_clip"]
        embeddings["clip_embeddings"] = model.clip(pixels)
    if model.adapters is None:
        pixels = processor.pictures(frames, ("sam",))["pixel_values_sam"]
        features = model.segmenter.sam.encode_images(pixels)
        embeddings["image_features"] = tuple(level.half() for level in features.levels)
    return EmbeddedClip(frames, clip.masks[known], embeddings)


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
        for name, values in processor.pictures(frames, backbones).items()
    }
    for name in clips[0].embeddings:
        batch[name] = _stack([clip.embeddings[name] for clip in clips])
    batch["targets"] = torch.from_numpy(np.stack([clip.masks for clip in clips]))
    return batch


def _stack(values: list[Embedding]) -> Embedding:
    tensors = [value for value in values if isinstance(value, Tensor)]
    if tensors:
        return torch.stack(tensors)
    return tuple(torch.stack(level).float() for level in zip(*values, strict=True))


def _read_contents(name: str, split: AVSBench) -> list[Contents]:
    contents = read_contents(split, find_generated(split))
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
