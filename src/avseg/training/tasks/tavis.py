"""The task that trains TAViS on clips with a class map for each frame.

The towers of ImageBind and the image encoder are frozen. A clip has T frames of H x W pixels; S is
the side of the frames that the model gets; C names include the background, which is the first.
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
from avseg.training.clips import FrameIndex, OffScreenPair, draw_off_screen_frames, list_frames
from avseg.training.measures import MaskMeasure
from avseg.training.parts import WHOLE, Part, load_parts
from avseg.training.tasks.audio_visual import open_splits, read_split_contents
from avseg.training.tasks.options import TextBridge
from avseg.training.tasks.task import Task, TaskInputs, write_when_complete

#: A class with at most this many pixels in a whole clip is noise in AVSBench's class maps, and is
#: replaced by background.
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
    # Without the background, which the processor adds itself.
    processor = processor.with_vocabulary(splits[options.train[0]].names[1:])
    side = config.sam_config.image_size

    def clips(names: Sequence[str]) -> dict[str, Dataset[Any]]:
        return {
            name.replace("/", "_"): SemanticClips(
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
        measure=partial(SemanticMaskMeasure, processor.vocabulary, options.seen or options.classes),
        frames_of=frames_of,
        finish=write_when_complete(processor.save_pretrained),
    )


def _read_training(
    options: TextBridge, splits: Mapping[str, SemanticSplit], processor: TavisProcessor, side: int
) -> "Dataset[SemanticClip]":
    """Return the training examples: whole clips, or single frames."""
    # Evaluation keeps the whole vocabulary, so that unseen names are measured too (zero-shot).
    if options.classes:
        processor = processor.with_vocabulary(options.classes)
    clips = SemanticClips([splits[name] for name in options.train], processor, side)
    if not clips.indices:
        raise TrainingError(
            f"data.classes: every clip of {', '.join(options.train)} has a class other than "
            f"{', '.join(options.classes)}; choose classes of the data."
        )
    if not options.frames_alone:
        return clips
    pairs: list[OffScreenPair[FrameIndex]] = []
    if options.off_screen:
        of_split = [read_split_contents(name, splits[name].split) for name in options.train]
        contents = [of_split[split][number] for split, number in clips.indices]
        pairs = draw_off_screen_frames(clips, contents, options.off_screen)
    return SemanticFrames(clips, pairs)


def find_tokenizer(parts: Iterable[Part]) -> ImageBindTokenizer:
    """Find the tokenizer of the text tower that a model starts from.

    Args:
        parts: Weights that the model starts from.

    Returns:
        The tokenizer in the folder of the first part that has one; if no folder has one, a
        tokenizer for the words of SynthAVS.

    Raises:
        CheckpointError: If the tokenizer's file is damaged.
    """
    for part in parts:
        path = part.weights.with_name(ImageBindTokenizer.FILE)
        if path.is_file():
            return ImageBindTokenizer.from_file(path)
    return ImageBindTokenizer.from_words(WORDS[:-1])


class SemanticClip(NamedTuple):
    """Inputs of the model for one clip, up to the clip's last annotated frame.

    Attributes:
        pixel_values: Frames in [0, 1], (T, 3, S, S) float32.
        audio_values: Spectrogram of each frame's audio window, (T, 1, bands, columns) float32.
        name_ids: Token ids of the names, (C, L) int64.
        targets: Number of the name of each pixel, (T, H, W) uint8.
        annotated: Whether a frame has a ground truth, (T,) bool.
    """

    pixel_values: Tensor
    audio_values: Tensor
    name_ids: Tensor
    targets: Tensor
    annotated: Tensor


class SemanticClips(Dataset[SemanticClip]):
    """Clips of splits with a class for each pixel, as inputs of the model.

    Args:
        splits: The splits.
        processor: Processor of the model. A clip is left out if the metadata of its split list a
            class outside the vocabulary. A class map may still contain such a class, which becomes
            background.
        side: Side to which class maps are resized, in pixels; None keeps their size.
    """

    def __init__(
        self, splits: Sequence[SemanticSplit], processor: TavisProcessor, side: int | None = None
    ) -> None:
        self.splits, self.processor, self.side = splits, processor, side
        names = processor.vocabulary
        # For each clip: number of its split, and number of the clip in that split.
        self.indices = [(s, i) for s, split in enumerate(splits) for i in split.within(names)]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> SemanticClip:
        # The memory uses earlier frames only, so later frames than the last annotated one cannot
        # change the loss.
        return self.read(index, self.seconds(index))

    def seconds(self, index: int) -> range:
        """Return the numbers of a clip's annotated frames."""
        split, number = self._find(index)
        return range(split.split.entries[number].annotated_seconds)

    def read_masks(self, index: int) -> NDArray[np.bool_]:
        """Read the ground-truth masks of a clip's annotated frames, (T, H, W)."""
        split, number = self._find(index)
        return split.split.read_frames(number, self.seconds(index))[1]

    def read(
        self, index: int, seconds: Sequence[int], audio: FrameIndex | None = None
    ) -> SemanticClip:
        """Read some frames of a clip.

        Args:
            index: Number of the clip.
            seconds: Numbers of its frames.
            audio: Frame of another clip whose audio replaces that of the only frame read, which
                then has an empty ground truth.

        Returns:
            The frames.
        """
        split, number = self._find(index)
        clip, labels = split.read(number, seconds)
        windows = clip.clip.audio_windows(self.processor.window_s)
        targets = renumber(labels, split.names, self.processor.vocabulary)
        if audio is not None:
            windows, targets = self._read_audio(audio), np.zeros_like(targets)
        return SemanticClip(
            pixel_values=self.processor.prepare_frames(clip.clip.frames),
            audio_values=self.processor.prepare_audio(windows),
            name_ids=self.processor.name_ids,
            targets=_resize(drop_specks(targets), self.side),
            annotated=torch.from_numpy(clip.annotated),
        )

    def _read_audio(self, frame: FrameIndex) -> NDArray[np.float32]:
        """Read the audio window of one frame, (1, samples)."""
        split, number = self._find(frame.clip)
        clip = split.split.read(number, [frame.frame]).clip
        return clip.audio_windows(self.processor.window_s)

    def _find(self, index: int) -> tuple[SemanticSplit, int]:
        split, number = self.indices[index]
        return self.splits[split], number


class SemanticFrames(Dataset[SemanticClip]):
    """Every annotated frame as a clip of one frame, followed by pairs with off-screen sound.

    Args:
        clips: The clips.
        pairs: Pairs of frames with off-screen sound.
    """

    def __init__(
        self, clips: SemanticClips, pairs: Sequence[OffScreenPair[FrameIndex]] = ()
    ) -> None:
        self.clips, self.pairs = clips, pairs
        self.indices = list_frames(clips)

    def __len__(self) -> int:
        return len(self.indices) + len(self.pairs)

    def __getitem__(self, index: int) -> SemanticClip:
        if index < len(self.indices):
            chosen = self.indices[index]
            return self.clips.read(chosen.clip, [chosen.frame])
        pair = self.pairs[index - len(self.indices)]
        return self.clips.read(pair.visual.clip, [pair.visual.frame], pair.audio)


def frames_of(clip: SemanticClip) -> NDArray[np.uint8]:
    """Convert the pixel values of a clip back to RGB images, for drawings of masks.

    Args:
        clip: The clip.

    Returns:
        RGB images, (T, S, S, 3).
    """
    # The processor scales to [0, 1]; the model normalises later.
    images = (clip.pixel_values * 255).round().to(torch.uint8)
    frames: NDArray[np.uint8] = images.permute(0, 2, 3, 1).numpy()
    return frames


def renumber(
    labels: NDArray[np.uint8], names: Sequence[str], vocabulary: Sequence[str]
) -> NDArray[np.uint8]:
    """Convert the class numbers of a data set to those of a vocabulary.

    Args:
        labels: Class of each pixel, 0 the background.
        names: Classes of the data set by number.
        vocabulary: Names without the background; the first is number 1.

    Returns:
        Numbers in the vocabulary; 0 for a class that the vocabulary lacks.
    """
    numbers = {name: number for number, name in enumerate(vocabulary, start=1)}
    # A lookup array renumbers all pixels with one indexing operation.
    lookup = np.array([0, *(numbers.get(name, 0) for name in names[1:])], np.uint8)
    return lookup[labels]


def drop_specks(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Replace classes with few pixels in the whole clip by background, as the paper's code does.

    Args:
        labels: Class of each pixel, (T, H, W).

    Returns:
        The class maps without classes of at most 20 pixels.
    """
    # Counted over the whole clip, so that an object that is small in one frame is kept.
    # Class numbers are bytes, so 256 counts suffice.
    counts = np.bincount(labels.ravel(), minlength=256)
    kept: NDArray[np.uint8] = np.where(counts[labels] > _FEWEST_PIXELS, labels, 0).astype(np.uint8)
    return kept


def collate(clips: Sequence[SemanticClip]) -> dict[str, Tensor]:
    """Collate clips to a batch; short clips are padded with frames that are not annotated.

    Args:
        clips: Clips with frames of one size and one vocabulary.

    Returns:
        Inputs of `TavisModel`.
    """
    # Padding frames are zeros, and `annotated` is False there, so they enter no loss.
    longest = max(len(clip.annotated) for clip in clips)

    def stack(name: str) -> Tensor:
        padded = []
        for values in (getattr(clip, name) for clip in clips):
            filled = values.new_zeros(longest, *values.shape[1:])
            filled[: len(values)] = values
            padded.append(filled)
        return torch.stack(padded)

    # The names are the same for all clips, so the batch has them once.
    batch = {name: stack(name) for name in SemanticClip._fields if name != "name_ids"}
    return batch | {"name_ids": clips[0].name_ids}


class SemanticMaskMeasure:
    """Scores of predicted masks and class maps, from the model's `TavisOutput`.

    Args:
        vocabulary: Names without the background; the first is number 1.
        seen: Names whose scores are reported separately from those of the others; may be empty.
    """

    def __init__(self, vocabulary: Sequence[str] = (), seen: Collection[str] = ()) -> None:
        self.seen = {number for number, name in enumerate(vocabulary, start=1) if name in seen}
        self.masks = MaskMeasure()
        # Pixels of each class over all clips; class numbers are uint8, so there are 256.
        self.intersection = torch.zeros(256)
        self.union = torch.zeros(256)

    def update(self, out: Any, batch: dict[str, Any]) -> None:
        """Add a batch.

        Args:
            out: A `TavisOutput` with its loss.
            batch: Inputs of the model, with `targets` (B, T, H, W) and `annotated` (B, T).
        """
        maps = out.class_logits.argmax(dim=2).cpu()  # (B, T, S, S)
        for b, annotated in enumerate(batch["annotated"]):
            targets = batch["targets"][b][annotated]
            # One mask of all objects per frame, as for models without classes.
            masks = AvsegOutput(
                loss=out.loss, mask_logits=out.mask_logits[b : b + 1].cpu()[:, annotated]
            )
            self.masks.update(masks, {"targets": (targets > 0).unsqueeze(0)})
            self._count(_resize_nearest(maps[b][annotated], targets.shape[-2:]), targets.long())

    def merge(self, other: Self) -> None:
        """Add the batches of another measure.

        Args:
            other: The other measure; unchanged.
        """
        self.masks.merge(other.masks)
        self.intersection += other.intersection
        self.union += other.union

    def compute(self) -> dict[str, float]:
        """Compute the scores.

        Returns:
            The scores of `MaskMeasure`, and `miou`: the mean IoU of the classes that are predicted
            or in the ground truth, without the background; each IoU is over the pixels of all
            clips. If `seen` has names, also `miou_seen`, the mean over these; `miou_unseen`, over
            the others; and `miou_harmonic`, the harmonic mean of the two. A mean over no class is
            left out.
        """
        # A class with an empty union was neither predicted nor present: its IoU is 0 / 0.
        occurring = [k for k in self.union.nonzero().flatten().tolist() if k > 0]
        ious = {k: float(self.intersection[k] / self.union[k]) for k in occurring}
        groups = {"miou": list(ious.values())}
        if self.seen:
            groups["miou_seen"] = [iou for k, iou in ious.items() if k in self.seen]
            groups["miou_unseen"] = [iou for k, iou in ious.items() if k not in self.seen]
        scores = {name: fmean(values) for name, values in groups.items() if values}
        if {"miou_seen", "miou_unseen"} <= scores.keys():
            both = [scores["miou_seen"], scores["miou_unseen"]]
            scores["miou_harmonic"] = harmonic_mean(both)
        return self.masks.compute() | scores

    def _count(self, maps: Tensor, targets: Tensor) -> None:
        """Add the pixels of predicted class maps and of the ground truth, both (T, H, W)."""
        # Union = predicted + true - intersection, so three histograms suffice.
        predicted = maps.flatten().bincount(minlength=256)
        true = targets.flatten().bincount(minlength=256)
        correct = targets[maps == targets].bincount(minlength=256)
        self.intersection += correct
        self.union += predicted + true - correct


def _resize(labels: NDArray[np.uint8], side: int | None) -> Tensor:
    maps = torch.from_numpy(labels)
    return maps if side is None else _resize_nearest(maps, (side, side))


def _resize_nearest(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    """Resize class maps (T, H, W) by the nearest pixel: class numbers cannot be interpolated."""
    if maps.shape[-2:] == torch.Size(size):
        return maps
    # `interpolate` takes no integers; float32 represents all class numbers exactly. The mode
    # "nearest" would shift the map by a fraction of a pixel.
    resized = F.interpolate(maps.unsqueeze(1).float(), size=tuple(size), mode="nearest-exact")
    return resized.squeeze(1).to(maps.dtype)
