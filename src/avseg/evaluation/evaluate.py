"""A model on a data set: its masks under the true sound, and under sounds that should mark nothing.

T frames of H x W pixels, those of a clip that are annotated.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.datasets.contents import Contents, Generated, find_generated, read_contents
from avseg.errors import CheckpointError
from avseg.evaluation.listening import measure_following
from avseg.evaluation.perturb import drown_in_noise, dub, mute
from avseg.evaluation.prediction import predict
from avseg.evaluation.report import ClipScores, PerturbedScores, Report
from avseg.metrics.binary import BinaryMetrics, BinaryScores
from avseg.segmenter import Segmenter
from avseg.training.environment import describe_environment

#: Scenes in which it is measured whether the mask follows the sound.
FOLLOWED_SCENES = 50


def evaluate(
    segmenter: Segmenter,
    split: AVSBench,
    threshold: float = 0.5,
    on_clip: Callable[[], None] = lambda: None,
) -> Report:
    """Score a model on a split, with the true sound and without it.

    The sound of each clip is also muted, drowned in noise, and, where the data set tells what is
    in the picture, taken from a clip none of whose sounding objects is. On SynthAVS it is measured
    too whether the mask goes to whichever object sounds, in the first 50 scenes of the split.

    Args:
        segmenter: The model and its processor.
        split: The data, with sound at the processor's rate.
        threshold: Probability above which a pixel is marked, in (0, 1).
        on_clip: Called whenever a clip is done.

    Returns:
        The report.

    Raises:
        CheckpointError: If the model does not listen.
        ClipError: If the sound is at another rate than the processor's.
        DatasetError: If a file is missing or damaged.
        ValueError: If the threshold is out of its range.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, got {threshold}.")
    if segmenter.processor.window_s is None:
        raise CheckpointError(
            f"{segmenter.name} is prompted by texts and does not listen; evaluate a model of the "
            "family avseg-av2t-sam."
        )
    start = time.monotonic()
    generated = find_generated(split)
    tally = _Tally(threshold)
    for index, sounds in enumerate(_sounds(split, read_contents(split, generated))):
        probs = {
            name: predict(segmenter, clip.clip)[torch.from_numpy(clip.annotated)]
            for name, clip in sounds.items()
        }
        tally.add_model(sounds, probs)
        tally.add_baselines(sounds["true"], index, generated)
        on_clip()
    following = None
    if generated is not None:
        scenes = map(generated.draw, range(min(FOLLOWED_SCENES, len(split))))
        following = measure_following(segmenter, scenes, generated.voice, threshold)
    perturbed = {name: tally.perturbed(name) for name in tally.model if name != "true"}
    return Report(
        model=segmenter.name,
        weights_sha256=segmenter.weights_sha256,
        data=str(split.folder),
        subset=split.subset,
        split=split.split,
        threshold=threshold,
        scores=tally.model["true"].compute(),
        perturbed=perturbed,
        baselines={name: metrics.compute() for name, metrics in tally.baselines.items()},
        following=following,
        clips=tuple(tally.clips),
        seconds=time.monotonic() - start,
        environment=describe_environment(segmenter.device) | {"dtype": segmenter.dtype},
    )


class _Tally:
    """Gathers what the report needs, clip after clip.

    Args:
        threshold: Probability above which a pixel is marked.

    Attributes:
        model: The model's scores by the sound it was given; "true" is the clip's own.
        baselines: Scores of masks made without a model.
        clips: The model's scores of each clip with its own sound.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._unmoved: dict[str, list[float]] = {}
        self.model: dict[str, BinaryMetrics] = {}
        self.baselines: dict[str, BinaryMetrics] = {}
        self.clips: list[ClipScores] = []

    def add_model(self, sounds: dict[str, AnnotatedClip], probs: dict[str, Tensor]) -> None:
        """Add a clip's masks, (T, H, W), under each of its sounds."""
        own = probs["true"] > self._threshold
        for name, clip in sounds.items():
            self._add(self.model, name, probs[name], _truth(clip))
            self._unmoved.setdefault(name, []).extend(
                _overlap(own, probs[name] > self._threshold).tolist()
            )
        clip = sounds["true"]
        scores = _score(probs["true"], _truth(clip), self._threshold)
        self.clips.append(
            ClipScores(
                clip_id=clip.clip_id,
                category=clip.category,
                j=scores.j,
                j_strict=scores.j_strict,
                f=scores.f,
                sounding_frames=scores.frame_count - scores.silent_count,
            )
        )

    def add_baselines(self, clip: AnnotatedClip, index: int, generated: Generated | None) -> None:
        """Add masks that need no model: nothing, everything, and every object if they are known."""
        truth = _truth(clip)
        self._add(self.baselines, "nothing", torch.zeros(truth.shape), truth)
        self._add(self.baselines, "everything", torch.ones(truth.shape), truth)
        if generated is not None:
            objects = torch.from_numpy(generated.all_objects(index)[clip.annotated])
            self._add(self.baselines, "all objects", objects.float(), truth)

    def perturbed(self, name: str) -> PerturbedScores:
        """Score what was marked under a sound that is not the clip's own."""
        unmoved = self._unmoved[name]
        return PerturbedScores(
            scores=self.model[name].compute(),
            unmoved=float(np.mean(unmoved)) if unmoved else None,
        )

    def _add(
        self, group: dict[str, BinaryMetrics], name: str, probs: Tensor, truth: Tensor
    ) -> None:
        group.setdefault(name, BinaryMetrics(self._threshold)).update(probs, truth)


def _sounds(split: AVSBench, contents: list[Contents] | None) -> Iterator[dict[str, AnnotatedClip]]:
    """Yield each clip with its own sound and with others, by the name of the sound."""
    for index, clip in enumerate(split):
        rng = np.random.default_rng(index)
        sounds = {"true": clip, "muted": mute(clip), "noise": drown_in_noise(clip, rng)}
        donor = None if contents is None else _find_donor(contents, index)
        if donor is not None:
            sounds["off-screen"] = dub(clip, split[donor])
        yield sounds


def _find_donor(contents: list[Contents], index: int) -> int | None:
    """Find the next clip with a sound that nothing in this one's picture makes."""
    visible = contents[index].visible
    count = len(contents)
    for donor in ((index + step) % count for step in range(1, count)):
        heard = contents[donor].heard
        if heard and not heard & visible:
            return donor
    return None


def _truth(clip: AnnotatedClip) -> Tensor:
    return torch.from_numpy(clip.masks[clip.annotated])


def _overlap(own: Tensor, other: Tensor) -> Tensor:
    """IoU of two masks in the frames where the first marks something."""
    marks = own.flatten(1).any(dim=1)
    own, other = own[marks].flatten(1), other[marks].flatten(1)
    overlap: Tensor = (own & other).sum(dim=1) / (own | other).sum(dim=1)
    return overlap


def _score(probs: Tensor, truth: Tensor, threshold: float) -> BinaryScores:
    metrics = BinaryMetrics(threshold)
    metrics.update(probs, truth)
    return metrics.compute()
