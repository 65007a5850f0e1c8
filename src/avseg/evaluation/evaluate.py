"""A model on a data set: its masks under the true sound, and under sounds that are not the clip's.

T frames of H x W pixels, those of a clip that are annotated.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.environment import describe_environment
from avseg.evaluation.conditions import Condition, OtherSounds
from avseg.evaluation.following import measure_following
from avseg.evaluation.prediction import Prediction, predict, read_waveform, require_listening
from avseg.evaluation.prediction_files import PredictionWriter
from avseg.evaluation.report import Report, SemanticScores
from avseg.evaluation.scores import ClipScores, SoundScores, class_map, score_clip, score_sound
from avseg.metrics.binary import THRESHOLDS, BinaryMetrics, f_curves
from avseg.metrics.protocols import ProtocolScores
from avseg.metrics.semantic import SemanticMetrics
from avseg.segmenter import Segmenter
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.contents import SynthavsSplit, find_synthavs_split, read_contents

#: Scenes in which it is measured whether the mask follows the sound.
FOLLOWED_SCENES = 50


def evaluate(
    segmenter: Segmenter,
    split: AVSBench,
    threshold: float = 0.5,
    robustness: bool = True,
    writer: PredictionWriter | None = None,
    on_progress: Callable[[float], None] = lambda _: None,
) -> Report:
    """Score a model on a split, with the true sound and with others.

    Which other sounds there are depends on what the data set tells of its clips, see
    `conditions.DESCRIPTIONS`. On SynthAVS it is measured too whether the mask goes to whichever
    object sounds, in the first 50 scenes of the split.

    Args:
        segmenter: The model and its processor.
        split: The data, with sound at the processor's rate.
        threshold: Probability above which a pixel is marked, in (0, 1).
        robustness: Whether other sounds are tried at all.
        writer: What keeps the logits under the true sound; None keeps none.
        on_progress: Called now and then with the share of the clips and scenes that is done, in
            [0, 1].

    Returns:
        The report.

    Raises:
        CheckpointError: If the model does not listen, or tells other classes than the data set.
        ClipError: If the sound is at another rate than the processor's.
        DatasetError: If a file is missing or damaged.
        OSError: If the writer cannot write.
        ValueError: If the threshold is out of its range.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold must be between 0 and 1, got {threshold}.")
    require_listening(segmenter)
    start = time.monotonic()
    generated = find_synthavs_split(split)
    contents = read_contents(split, generated)
    others = OtherSounds(
        segmenter.processor.sample_rate,
        partial(read_waveform, segmenter, split),
        contents,
        generated,
    )
    tally = _Tally(threshold, split.class_names)
    follow = robustness and generated is not None
    steps = len(split) + (min(FOLLOWED_SCENES, len(split)) if follow else 0)
    for index, clip in enumerate(split):
        audio = read_waveform(segmenter, split, index)
        own = predict(segmenter, clip.clip, audio, split.class_names).of_frames(clip.annotated)
        if writer is not None:
            writer.add(clip.clip_id, own.mask_logits, own.class_logits)
        conditions = others.of(index, clip.masks) if robustness else ()
        sounds = {c.name: _score_sound(segmenter, clip, c, own, threshold) for c in conditions}
        tally.add(clip, own, () if contents is None else sorted(contents[index].sounding), sounds)
        tally.add_baselines(clip, index, generated)
        on_progress((index + 1) / steps)
    following = None
    if follow and generated is not None:
        scenes = _watched(generated, range(steps - len(split)), len(split), on_progress)
        following = measure_following(segmenter, scenes, generated.parameter_split, threshold)
    return Report(
        model=segmenter.name,
        weights_sha256=segmenter.weights_sha256,
        vocabulary=segmenter.vocabulary,
        data=str(split.folder),
        subset=split.subset,
        split=split.split,
        threshold=threshold,
        clips=tuple(tally.clips),
        protocols=tally.protocols.compute(),
        f_curve=tally.f_curve(),
        semantic=tally.semantic(),
        baselines={name: metrics.compute() for name, metrics in tally.baselines.items()},
        following=following,
        seconds=time.monotonic() - start,
        environment=describe_environment(segmenter.device) | {"dtype": segmenter.dtype},
    )


class _Tally:
    """Gathers what the report needs of the true sound, clip after clip.

    Args:
        threshold: Probability above which a pixel is marked.
        class_names: Classes by number, 0 the background; None of a data set without classes.

    Attributes:
        clips: Scores of each clip.
        protocols: The model's scores by all published protocols.
        baselines: Scores of masks made without a model.
    """

    def __init__(self, threshold: float, class_names: tuple[str, ...] | None) -> None:
        self._threshold = threshold
        self._class_names = class_names
        self._semantic: SemanticMetrics | None = None
        self._f_curve_sum = torch.zeros_like(THRESHOLDS, dtype=torch.float64)
        self._sounding_frames = 0
        self.clips: list[ClipScores] = []
        self.protocols = ProtocolScores()
        self.baselines: dict[str, BinaryMetrics] = {}

    def add(
        self,
        clip: AnnotatedClip,
        own: Prediction,
        categories: Sequence[str],
        sounds: dict[str, SoundScores],
    ) -> None:
        """Add what the model said of a clip, and its scores under other sounds."""
        truth, probs = _truth(clip), _probs(own, clip)
        self.protocols.update(own.mask_logits, truth, clip.category)
        sounding = truth.flatten(1).any(1)
        self._f_curve_sum += f_curves(probs[sounding], truth[sounding]).sum(0)
        self._sounding_frames += int(sounding.sum())
        if self._class_names is not None and own.class_logits is not None:
            self._add_classes(clip, own.class_logits)
        scores = score_clip(clip.clip_id, categories, probs, truth, self._threshold)
        self.clips.append(replace(scores, sounds=sounds))

    def add_baselines(
        self, clip: AnnotatedClip, index: int, generated: SynthavsSplit | None
    ) -> None:
        """Add masks that need no model: nothing, everything, and every object if they are known."""
        truth = _truth(clip)
        masks = {"nothing": torch.zeros(truth.shape), "everything": torch.ones(truth.shape)}
        if generated is not None:
            objects = generated.all_objects(index)[clip.annotated]
            masks["all objects"] = torch.from_numpy(objects).float()
        for name, probs in masks.items():
            metrics = self.baselines.setdefault(name, BinaryMetrics(self._threshold))
            metrics.update(probs, truth)

    def semantic(self) -> SemanticScores | None:
        """Score the classes; None if the model or the data set tells none."""
        if self._semantic is None or self._class_names is None:
            return None
        classes = self._semantic.by_class()
        return SemanticScores(
            protocols=self._semantic.compute(),
            classes={self._class_names[number]: scores for number, scores in classes.items()},
        )

    def _add_classes(self, clip: AnnotatedClip, class_logits: Tensor) -> None:
        if clip.labels is not None:
            self._semantic = self._semantic or SemanticMetrics(class_logits.shape[1])
            known = torch.from_numpy(clip.labels[clip.annotated])
            self._semantic.update(class_map(class_logits, clip.masks.shape[1:]), known)

    def f_curve(self) -> tuple[float, ...]:
        """Average F over the frames that are not silent, at each threshold."""
        if not self._sounding_frames:
            return ()
        return tuple((self._f_curve_sum / self._sounding_frames).tolist())


def _score_sound(
    segmenter: Segmenter,
    clip: AnnotatedClip,
    condition: Condition,
    own: Prediction,
    threshold: float,
) -> SoundScores:
    """Show the model a clip under another sound, and score what it marks."""
    other = predict(segmenter, clip.clip, condition.audio).of_frames(clip.annotated)
    truth = None if condition.truth is None else condition.truth[clip.annotated]
    return score_sound(_probs(own, clip), _probs(other, clip), _truth(clip), truth, threshold)


def _watched(
    generated: SynthavsSplit, scenes: range, done: int, on_progress: Callable[[float], None]
) -> Iterator[SyntheticClip]:
    """Draw scenes, and say of each that it is done when the next is asked for."""
    for index in scenes:
        yield generated.draw(index)
        on_progress((done + index + 1) / (done + len(scenes)))


def _truth(clip: AnnotatedClip) -> Tensor:
    return torch.from_numpy(clip.masks[clip.annotated])


def _probs(prediction: Prediction, clip: AnnotatedClip) -> Tensor:
    return prediction.mask_probs(clip.masks.shape[1:])
