"""TAViS on clips whose pixels have a class, its towers and image encoder frozen.

T frames of a clip, H x W size of a frame, S side of the model's frames, C names with the background
first.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from statistics import fmean, harmonic_mean
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import Dataset

from avseg.backbones.imagebind.tokenizing import ImageBindTokenizer
from avseg.errors import TrainingError
from avseg.models.outputs import AvsegOutput
from avseg.models.tavis import TavisConfig, TavisModel, TavisProcessor
from avseg.synthavs.captions import WORDS
from avseg.synthavs.classes import SemanticSplit
from avseg.training.clips import Dub, Place, draw_dubs, find_places
from avseg.training.measures import MaskMeasure
from avseg.training.parts import WHOLE, Part, load_parts
from avseg.training.tasks.audio_visual import contents_of, open_splits
from avseg.training.tasks.options import TextBridge
from avseg.training.tasks.task import Task, TaskInputs

#: A class with no more pixels than this in a whole clip is noise in AVSBench's maps.
_FEWEST_PIXELS = 20


def build_text_bridge(options: TextBridge, inputs: TaskInputs[TavisConfig]) -> Task:
    """Build the training of TAViS.

    Args:
        options: The recipe's `data` section.
        inputs: Configuration, weights and folders.

    Returns:
        The task.

    Raises:
        TrainingError: If there is no folder of data sets, the name of a data set is not of the
            form "subset/split", a part does not fit, every training clip has a class that is not
            among the chosen ones, or off-screen sounds are wanted from data without a list of its
            visible objects.
        DatasetError: If a data set is missing, or has no classes.
    """
    config = inputs.config
    evaluated = [part for name in (*options.measured, *options.tested) for part in name.split("+")]
    rate = config.imagebind_config.audio.sample_rate
    opened = open_splits(inputs.data, (*options.train, *evaluated), rate)
    splits = {name: SemanticSplit.open(split) for name, split in opened.items()}
    model = TavisModel(config)
    modules = {
        "imagebind": model.imagebind,
        "sam": model.sam,
        "memory": model.memory,
        WHOLE: model,
    }
    load_parts(modules, inputs.parts)
    processor = TavisProcessor.from_config(config, find_tokenizer(inputs.parts.values()))
    processor = processor.with_vocabulary(splits[options.train[0]].names[1:])
    side = config.sam_config.image_size

    def clips(names: Sequence[str]) -> dict[str, Dataset[Any]]:
        return {
            name.replace("/", "_"): ClassedClips(
                [splits[part] for part in name.split("+")], processor
            )
            for name in names
        }

    return Task(
        model=model,
        train=_read_training(options, splits, processor, side),
        measured=clips(options.measured),
        tested=clips(options.tested),
        collate=collate,
        measure=partial(ClassedMaskMeasure, processor.vocabulary, options.seen or options.classes),
        frames_of=frames_of,
        finish=processor.save_pretrained,
    )


def _read_training(
    options: TextBridge, splits: Mapping[str, SemanticSplit], processor: TavisProcessor, side: int
) -> "Dataset[ClassedClip]":
    """Return the training examples: whole clips, or single frames."""
    if options.classes:
        processor = processor.with_vocabulary(options.classes)
    clips = ClassedClips([splits[name] for name in options.train], processor, side)
    if not clips.places:
        raise TrainingError(
            f"data.classes: no clip of {', '.join(options.train)} has nothing but "
            f"{', '.join(options.classes)}; name classes of the data."
        )
    if not options.frames_alone:
        return clips
    dubs: list[Dub[Place]] = []
    if options.off_screen:
        contents_of_split = [contents_of(name, splits[name].split) for name in options.train]
        contents = [contents_of_split[split][number] for split, number in clips.places]
        dubs = draw_dubs(clips, contents, options.off_screen)
    return ClassedFrames(clips, dubs)


def find_tokenizer(parts: Iterable[Part]) -> ImageBindTokenizer:
    """Find the tokenizer of the text tower that a model starts from.

    Args:
        parts: Weights that the model starts from.

    Returns:
        The tokenizer beside one of them; without any, the words of SynthAVS.

    Raises:
        CheckpointError: If it is damaged.
    """
    for part in parts:
        path = part.weights.with_name(ImageBindTokenizer.FILE)
        if path.is_file():
            return ImageBindTokenizer.from_file(path)
    return ImageBindTokenizer.from_words(WORDS[:-1])


class ClassedClip(NamedTuple):
    """A clip as the model takes it, up to its last frame with truth.

    Attributes:
        pixel_values: (T, 3, S, S) float32.
        audio_values: (T, 1, bands, columns) float32.
        name_ids: (C, L) int64.
        targets: Number of the name of every pixel, (T, H, W) uint8.
        annotated: Frames whose truth is known, (T,) bool.
    """

    pixel_values: Tensor
    audio_values: Tensor
    name_ids: Tensor
    targets: Tensor
    annotated: Tensor


class ClassedClips(Dataset[ClassedClip]):
    """Clips of splits whose classes are the processor's names.

    Args:
        splits: The splits.
        processor: Makes the inputs. A clip of which the table tells a class that is not in its
            vocabulary is left out; if a map has one all the same, it is background.
        side: To which the truth is resized, in pixels; None leaves it.
    """

    def __init__(
        self, splits: Sequence[SemanticSplit], processor: TavisProcessor, side: int | None = None
    ) -> None:
        self.splits, self.processor, self.side = splits, processor, side
        names = processor.vocabulary
        self.places = [(s, i) for s, split in enumerate(splits) for i in split.within(names)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> ClassedClip:
        # Frames look at those before them alone: those after the last with truth teach nothing.
        return self.read(index, self.seconds(index))

    def seconds(self, index: int) -> range:
        """Number the annotated frames of a clip."""
        split, number = self._find(index)
        return range(split.split.entries[number].annotated_seconds)

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Read the masks of a clip's annotated frames, (T, H, W)."""
        split, number = self._find(index)
        return split.split.read_frames(number, self.seconds(index))[1]

    def read(self, index: int, seconds: Sequence[int], voice: Place | None = None) -> ClassedClip:
        """Read some frames of a clip.

        Args:
            index: Number of the clip.
            seconds: Numbers of its frames.
            voice: Frame of another clip whose sound takes the place of that of the only frame
                read, in which nothing sounds then.

        Returns:
            The frames.
        """
        split, number = self._find(index)
        clip, labels = split.read(number, seconds)
        windows = clip.clip.audio_windows(self.processor.window_s)
        targets = renumber(labels, split.names, self.processor.vocabulary)
        if voice is not None:
            windows, targets = self._read_window(voice), np.zeros_like(targets)
        return ClassedClip(
            pixel_values=self.processor.prepare_frames(clip.clip.frames),
            audio_values=self.processor.prepare_audio(windows),
            name_ids=self.processor.name_ids,
            targets=_resize(drop_specks(targets), self.side),
            annotated=torch.from_numpy(clip.annotated),
        )

    def _read_window(self, voice: Place) -> NDArray[np.float32]:
        split, number = self._find(voice.clip)
        clip = split.split.read(number, [voice.frame]).clip
        return clip.audio_windows(self.processor.window_s)

    def _find(self, index: int) -> tuple[SemanticSplit, int]:
        split, number = self.places[index]
        return self.splits[split], number


class ClassedFrames(Dataset[ClassedClip]):
    """Every annotated frame of the clips, as a clip of one frame; then the dubbed ones.

    Args:
        clips: The clips.
        dubs: Frames added with the sound of another, and nothing to mark.
    """

    def __init__(self, clips: ClassedClips, dubs: Sequence[Dub[Place]] = ()) -> None:
        self.clips, self.dubs = clips, dubs
        self.places = find_places(clips)

    def __len__(self) -> int:
        return len(self.places) + len(self.dubs)

    def __getitem__(self, index: int) -> ClassedClip:
        if index < len(self.places):
            place = self.places[index]
            return self.clips.read(place.clip, [place.frame])
        dub = self.dubs[index - len(self.places)]
        return self.clips.read(dub.picture.clip, [dub.picture.frame], dub.sound)


def frames_of(clip: ClassedClip) -> NDArray[np.uint8]:
    """Give the frames of a clip back as pictures, to show masks on.

    Args:
        clip: The clip.

    Returns:
        RGB, (T, S, S, 3).
    """
    pictures = (clip.pixel_values * 255).round().to(torch.uint8)
    frames: NDArray[np.uint8] = pictures.permute(0, 2, 3, 1).numpy()
    return frames


def renumber(
    labels: NDArray[np.uint8], names: Sequence[str], vocabulary: Sequence[str]
) -> NDArray[np.uint8]:
    """Turn a data set's class numbers to those of a vocabulary.

    Args:
        labels: Class of every pixel, 0 the background.
        names: The data set's classes by number.
        vocabulary: Names without the background; the first is number 1.

    Returns:
        Numbers of the vocabulary; 0 for what is not in it.
    """
    numbers = {name: number for number, name in enumerate(vocabulary, start=1)}
    table = np.array([0, *(numbers.get(name, 0) for name in names[1:])], np.uint8)
    return table[labels]


def drop_specks(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Make classes of a few pixels in a whole clip background, as the paper's code does.

    Args:
        labels: Class of every pixel, (T, H, W).

    Returns:
        The same without classes of at most 20 pixels.
    """
    counts = np.bincount(labels.ravel(), minlength=256)
    kept: NDArray[np.uint8] = np.where(counts[labels] > _FEWEST_PIXELS, labels, 0).astype(np.uint8)
    return kept


def collate(clips: Sequence[ClassedClip]) -> dict[str, Tensor]:
    """Make a batch of the model's inputs; short clips get frames at their end that do not count.

    Args:
        clips: Clips with frames of one size and one vocabulary.

    Returns:
        Inputs of `TavisModel`.
    """
    longest = max(len(clip.annotated) for clip in clips)

    def stack(name: str) -> Tensor:
        rows = []
        for values in (getattr(clip, name) for clip in clips):
            filled = values.new_zeros(longest, *values.shape[1:])
            filled[: len(values)] = values
            rows.append(filled)
        return torch.stack(rows)

    batch = {name: stack(name) for name in ClassedClip._fields if name != "name_ids"}
    return batch | {"name_ids": clips[0].name_ids}


class ClassedMaskMeasure:
    """How well clips are segmented, as one mask and by class, by a `TavisOutput`.

    Args:
        vocabulary: Names without the background; the first is number 1.
        seen: Those of them that are measured apart from the others; none are if it is empty.
    """

    def __init__(self, vocabulary: Sequence[str] = (), seen: Collection[str] = ()) -> None:
        self.seen = {number for number, name in enumerate(vocabulary, start=1) if name in seen}
        self.masks = MaskMeasure()
        self.shared = torch.zeros(256)
        self.together = torch.zeros(256)

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `TavisOutput` with its loss.
            batch: Its inputs, of which `targets` (B, T, H, W) and `annotated` (B, T) are needed.
        """
        maps = out.class_logits.argmax(dim=2).cpu()  # (B, T, S, S)
        for b, known in enumerate(batch["annotated"]):
            truth = batch["targets"][b][known]
            masks = AvsegOutput(
                loss=out.loss, mask_logits=out.mask_logits[b : b + 1].cpu()[:, known]
            )
            self.masks.update(masks, {"targets": (truth > 0).unsqueeze(0)})
            self._count(_enlarge(maps[b][known], truth.shape[-2:]), truth.long())

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: It stays as it is.
        """
        self.masks.merge(other.masks)
        self.shared += other.shared
        self.together += other.together

    def compute(self) -> dict[str, float]:
        """Compute the measures.

        Returns:
            Those of `MaskMeasure`; `miou`: mean IoU of the classes that occur, marked or true, the
            background left out, each over all pixels. If some names are measured apart, also
            `miou_seen`, of these, `miou_unseen`, of the others, and `miou_harmonic`, the harmonic
            mean of the two. What no class is there for is left out.
        """
        occurring = [k for k in self.together.nonzero().flatten().tolist() if k > 0]
        ious = {k: float(self.shared[k] / self.together[k]) for k in occurring}
        kinds = {"miou": list(ious.values())}
        if self.seen:
            kinds["miou_seen"] = [iou for k, iou in ious.items() if k in self.seen]
            kinds["miou_unseen"] = [iou for k, iou in ious.items() if k not in self.seen]
        named = {name: fmean(values) for name, values in kinds.items() if values}
        if {"miou_seen", "miou_unseen"} <= named.keys():
            both = [named["miou_seen"], named["miou_unseen"]]
            named["miou_harmonic"] = harmonic_mean(both)
        return self.masks.compute() | named

    def _count(self, maps: Tensor, truth: Tensor) -> None:
        marked = maps.flatten().bincount(minlength=256)
        true = truth.flatten().bincount(minlength=256)
        right = truth[maps == truth].bincount(minlength=256)
        self.shared += right
        self.together += marked + true - right


def _resize(labels: NDArray[np.uint8], side: int | None) -> Tensor:
    maps = torch.from_numpy(labels)
    return maps if side is None else _enlarge(maps, (side, side))


def _enlarge(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize class maps (T, H, W) to the nearest pixel."""
    if maps.shape[-2:] == torch.Size(size):
        return maps
    resized = F.interpolate(maps.unsqueeze(1).float(), size=tuple(size), mode="nearest-exact")
    return resized.squeeze(1).to(maps.dtype)
