"""Which part of TAViS fails where a name is wrong: towers, decomposition, masks, or thresholds?

    python benchmarks/names_by_part.py [--model tavis-small] [--clips 40] [--seed 0]
        [--subset ms3] [--splits test_seen,test] [--version 2]
        [--name-score mean] [--candidates 0] [--min-score 0.5]

For each object that sounds and is visible in a frame of SynthAVS's clips, one part after the other
is replaced by the truth, or asked alone. The last three options replace those of the model. Printed
is the share of the objects for which the answer is right (frames once a second, as in AVSBench):

- model: the name is among the names of the frame. Precision: share of the names of all frames whose
  category sounds and is visible. Class mIoU: intersection and union of each class over the pixels
  of all frames, mean over the classes that occur in the ground truth.
- without thresholds: the same, with all thresholds of the configuration off.
- audio tower: with n sounding categories in the frame, the category is among the n names nearest to
  the embedding of the whole audio.
- decomposition: the category is the nearest name of the audio of any query.
- image tower: the category is the nearest name of the frame highlighted by the *true* mask.
- both towers: the category has the highest mean of the probabilities by the whole audio and by the
  frame highlighted by the true mask.
- mask: a query has an IoU of at least 0.5 with the true mask.
- by audio, by image, by both: of the objects with such a query, the share for which that query has
  the right name by its audio, its masked image, and the geometric mean of both probabilities.
"""

import argparse
from collections import defaultdict
from dataclasses import replace

import numpy as np
import torch
from _material import circumstances
from torch import Tensor

from avseg.evaluation.robustness import VISIBLE_AREA
from avseg.models.outputs import resize_logits
from avseg.models.tavis import TavisModel
from avseg.segmenter import Segmenter, load_segmenter
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.generators import SynthavsOptions, draw_clip
from avseg.synthavs.sounds import SAMPLE_RATE
from avseg.types import Clip

#: Thresholds that let every frame and every name pass.
_OFF = {"min_similarity": -1.0, "min_agreement": -1.0, "min_score": 0.0, "candidates": 0}
#: Logit of a pixel inside and outside of a true mask.
_SURE = 20.0

Answers = dict[str, list[bool]]


def as_clip(clip: SyntheticClip) -> tuple[Clip, np.ndarray]:
    """Return the annotated frames with the audio, and the object number of each pixel."""
    seconds = len(clip.audio) // SAMPLE_RATE
    rendered = [clip.frame(second) for second in range(seconds)]
    times = np.arange(seconds) + 0.5
    frames = np.stack([frame for frame, _ in rendered])
    plain = Clip("scene", frames, times, times, clip.audio, 0.0, SAMPLE_RATE)
    return plain, np.stack([labels for _, labels in rendered])


class ClassIou:
    """Class mIoU over the pixels of all frames."""

    def __init__(self, names: int) -> None:
        self.confusion = np.zeros((names + 1, names + 1), np.int64)

    def add(self, truth: np.ndarray, found: np.ndarray) -> None:
        """Add maps of classes of the same shape, with 0 for the background."""
        size = len(self.confusion)
        counts = np.bincount((truth * size + found).ravel(), minlength=size * size)
        self.confusion += counts.reshape(size, size)

    def mean(self) -> float:
        """Return the mean over the classes that occur, without the background."""
        both = np.diag(self.confusion)
        either = self.confusion.sum(0) + self.confusion.sum(1) - both
        occurs = self.confusion.sum(1) > 0
        occurs[0] = False
        return float((both[occurs] / either[occurs]).mean())


@torch.no_grad()
def ask_parts(
    segmenter: Segmenter, clip: SyntheticClip, answers: Answers, classes: ClassIou
) -> None:
    """Add the answers of all parts for the objects of one clip, and its maps of classes."""
    model: TavisModel = segmenter.model  # type: ignore[assignment]
    plain, labels = as_clip(clip)
    inputs = segmenter.processor(plain)
    frames = inputs["pixel_values"][0]
    names = model.encode_names(inputs["name_ids"])
    audio, image_cls = model.encode_inputs(frames, inputs["audio_values"][0])
    prompts = model.build_prompts(audio, image_cls)
    queries = model.decode_masks(frames, audio, prompts, (1, len(frames)), None).query_logits
    by_audio = model.bridge.compare_audio(prompts.objects, names).softmax(-1)
    by_image = model.bridge.compare_images(frames, queries, names).softmax(-1)
    whole = model.bridge.compare_audio(audio.cls.unsqueeze(1), names)[:, 0]
    named = _named(segmenter, model, plain), _named(segmenter, model, plain, off=True)
    masks = (
        resize_logits(queries.flatten(0, 1), labels.shape[1:]).unflatten(0, queries.shape[:2]) > 0
    )
    found_classes = _class_maps(model(**inputs).class_logits[0], labels.shape[1:])
    for t in range(len(frames)):
        sounding = clip.sounding(t)
        numbers = {number: 1 + segmenter.vocabulary.index(c) for number, c in sounding.items()}
        classes.add(np.vectorize(lambda n, of=numbers: of.get(n, 0))(labels[t]), found_classes[t])
        categories = sorted(set(sounding.values()))
        shown = {
            category
            for category in categories
            if _truth(sounding, labels[t], category).mean() >= VISIBLE_AREA
        }
        answers["precision"] += [name in shown for name in named[0][t]]
        nearest = {segmenter.vocabulary[i - 1] for i in _best(whole[t], len(categories))}
        for category in sorted(shown):
            truth = _truth(sounding, labels[t], category)
            index = 1 + segmenter.vocabulary.index(category)
            answers["model"].append(category in named[0][t])
            answers["without thresholds"].append(category in named[1][t])
            answers["audio tower"].append(category in nearest)
            answers["decomposition"].append(
                bool((by_audio[t, :, 1:].argmax(-1) + 1 == index).any())
            )
            true_logits = torch.from_numpy(np.where(truth, _SURE, -_SURE)).float()[None, None]
            alone = model.bridge.compare_images(frames[t : t + 1], true_logits, names)[0, 0]
            answers["image tower"].append(_best(alone, 1) == [index])
            both = alone.softmax(-1) + whole[t].softmax(-1)
            answers["both towers"].append(_best(both, 1) == [index])
            found = torch.from_numpy(truth)
            ious = (masks[t] & found).sum((1, 2)) / (masks[t] | found).sum((1, 2)).clamp(min=1)
            answers["mask"].append(bool(ious.max() >= 0.5))
            if ious.max() >= 0.5:
                best = int(ious.argmax())
                for key, probs in (
                    ("by audio", by_audio[t, best]),
                    ("by image", by_image[t, best]),
                    ("by both", by_audio[t, best] * by_image[t, best]),
                ):
                    answers[key].append(int(probs.argmax()) == index)


def _class_maps(logits: Tensor, size: tuple[int, ...]) -> np.ndarray:
    """Return the class of every pixel, (T, H, W), from scores (T, C, S, S)."""
    resized = resize_logits(logits.flatten(0, 1), size)
    return resized.unflatten(0, logits.shape[:2]).argmax(1).numpy()


def _truth(sounding: dict[int, str], labels: np.ndarray, category: str) -> np.ndarray:
    """Return the mask of the sounding objects of a category, (H, W)."""
    return np.isin(labels, [number for number, name in sounding.items() if name == category])


def _named(
    segmenter: Segmenter, model: TavisModel, clip: Clip, off: bool = False
) -> list[set[str]]:
    """Return the names of each frame, with the thresholds of the configuration or without."""
    own = model.config.thresholds
    try:
        if off:
            model.config.thresholds = replace(own, **_OFF)
        sources = segmenter.segment_clip(clip).sources or ()
    finally:
        model.config.thresholds = own
    return [
        {source.name for source in sources if not source.packed[t].is_empty}
        for t in range(len(clip.frames))
    ]


def _best(scores: Tensor, count: int) -> list[int]:
    """Return the indices of the highest scores, without the background."""
    return (1 + scores[1:].topk(count).indices).tolist()


def main() -> None:
    """Print the share of right answers of each part as a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", default="tavis-small")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subset", choices=("s4", "ms3"), default="ms3")
    parser.add_argument("--splits", default="test_seen,test")
    parser.add_argument("--version", type=int, choices=(2, 3), default=2)
    parser.add_argument("--name-score", choices=("mean", "geometric"))
    parser.add_argument("--candidates", type=int)
    parser.add_argument("--min-score", type=float)
    options = parser.parse_args()
    segmenter = load_segmenter(options.model, "cpu")
    config = segmenter.model.config
    config.name_score = options.name_score or config.name_score
    given = {"candidates": options.candidates, "min_score": options.min_score}
    config.thresholds = replace(
        config.thresholds, **{name: v for name, v in given.items() if v is not None}
    )
    print(circumstances(options.model), f"{options.clips} clips, version {options.version}")
    print(f"{config.name_score} score, {config.thresholds.to_dict()}\n", flush=True)
    scenes = SynthavsOptions(
        subset=options.subset, clips=1, seed=options.seed, generator_version=options.version
    )
    rows: dict[str, Answers] = {}
    ious: dict[str, ClassIou] = {}
    for split in options.splits.split(","):
        answers = rows[split] = defaultdict(list)
        ious[split] = ClassIou(len(segmenter.vocabulary))
        for index in range(options.clips):
            ask_parts(segmenter, draw_clip(scenes, split, index), answers, ious[split])
    parts = sorted(next(iter(rows.values())), key="precision".__ne__)
    head = ["split", "objects", "class mIoU", *parts]
    print("| " + " | ".join(head) + " |\n" + "| --- " * len(head) + "|")
    for split, answers in rows.items():
        shares = [f"{np.mean(answers[part]):.2f}" for part in parts]
        cells = [split, str(len(answers["model"])), f"{ious[split].mean():.3f}", *shares]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
