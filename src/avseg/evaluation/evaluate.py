"""Evaluation of a model on a data set, with the original audio and with replaced audio.

A clip has T annotated frames of H x W pixels; other frames have no ground truth and no scores.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from avseg.datasets.avsbench import AnnotatedClip, AVSBench
from avseg.datasets.layout import Subset
from avseg.errors import OutputError
from avseg.evaluation.figures.contact_sheet import draw_sheet, extreme_clips
from avseg.evaluation.figures.plots import DPI, PLOTS
from avseg.evaluation.prediction import (
    DataLike,
    ModelLike,
    Prediction,
    Predictor,
    check_threshold,
    load_predictor,
    open_split,
)
from avseg.evaluation.prediction_files import OWN_FOLDER as PREDICTIONS_FOLDER
from avseg.evaluation.prediction_files import PredictionFacts, PredictionWriter, write_predictions
from avseg.evaluation.report import (
    CLIPS_FILE,
    JSON_FILE,
    OWN_FOLDER,
    Report,
    SemanticScores,
    write_files,
)
from avseg.evaluation.robustness import Condition, Conditions, FollowingScores, measure_following
from avseg.evaluation.scores import (
    ClipScores,
    ConditionScores,
    class_map,
    score_clip,
    score_condition,
)
from avseg.evaluation.tables import to_markdown
from avseg.metrics.binary import THRESHOLDS, BinaryMetrics, f_curves
from avseg.metrics.protocols import ProtocolScores
from avseg.metrics.semantic import SemanticMetrics
from avseg.segmenter import Dtype
from avseg.synthavs.clips import SyntheticClip
from avseg.synthavs.contents import SynthavsSplit, find_synthavs_split, read_contents

#: Largest number of scenes for `measure_following`, which takes one prediction for each category.
FOLLOWED_SCENES = 50

#: Function that gets the number of finished clips and scenes, and their total.
OnClip = Callable[[int, int], object]

TABLE_FILE, SHEET_FILE = "report.md", "clips.png"


def evaluate(  # noqa: PLR0913 - one argument for each option of the command
    model: ModelLike,
    data: DataLike,
    *,
    subset: Subset | None = None,
    split: str = "test",
    output: str | PathLike[str] | None = None,
    vocabulary: str | Sequence[str] | None = None,
    device: str = "auto",
    dtype: Dtype = "float32",
    threshold: float = 0.5,
    robustness: bool = True,
    save_predictions: str | PathLike[str] | None = None,
    offline: bool = False,
    on_clip: OnClip = lambda *_: None,
) -> Report:
    """Evaluate a model by all published protocols, and test whether it uses the audio.

    The model is a model of avseg, or your own function from frames and audio to probabilities:

        import numpy as np
        import avseg

        def brightness(frames: np.ndarray, audio: np.ndarray) -> np.ndarray:
            loud = np.abs(audio).max() > 0.01
            return loud * frames.mean(axis=-1) / 255  # (T, H, W) in [0, 1]

        report = avseg.evaluate(brightness, "data", subset="ms3", output="report")
        print(report.scores["j"].value, report.robustness["vision_bias"])

    The conditions of the robustness tests depend on the metadata of the data set, see
    `robustness.DESCRIPTIONS`. On SynthAVS, a further test measures in the first 50 scenes of the
    split whether the mask follows the audio.

    Args:
        model: Name of a model, folder of a saved one, loaded segmenter, or your own function (see
            `MaskFunction`).
        data: Folder of the data sets in AVSBench's layout, or an open split.
        subset: Subset of the folder, such as "ms3"; None for an open split.
        split: Split of the folder.
        output: Folder for report.md, report.json, clips.csv and the plots; None to write no files.
        vocabulary: Names for a model that names sources: a sequence, one string in which commas
            separate the names, or the path of a text file.
        device: Device of a model that is given by name or folder.
        dtype: Dtype of the matrix products of such a model.
        threshold: Probability above which a pixel is marked, in (0, 1).
        robustness: Whether to run the robustness tests; they take five to eight times as long as
            the evaluation with the original audio.
        save_predictions: Folder for the logits, which `score` reads; None to save none.
        offline: Whether to download nothing.
        on_clip: Called after each clip and scene with the number of finished ones and the total.

    Returns:
        The report.

    Raises:
        CheckpointError: If there is no such model, it does not use the audio, or its classes are
            not those of the data set.
        DatasetError: If a file is missing or damaged.
        OutputError: If a file cannot be written.
        PromptError: If the model takes no vocabulary.
        TypeError: If the model is of another type.
        ValueError: If an argument is out of its range, or your function returns no probabilities.
    """
    check_threshold(threshold)
    _check_folders(output, save_predictions)
    predictor = load_predictor(
        model, data, vocabulary=vocabulary, device=device, dtype=dtype, offline=offline
    )
    clips = open_split(data, subset, split, predictor.sample_rate, predictor.audio_channels)
    with _open_writer(save_predictions, predictor, clips, threshold) as writer:
        report = _evaluate(predictor, clips, threshold, robustness, writer, on_clip)
    if output is not None:
        # The worst and best clips are known only now, so the model segments them again.
        sheet = draw_sheet(extreme_clips(predictor, clips, report))
        save_report(report, Path(output), sheet, save_predictions)
    return report


def save_report(
    report: Report,
    folder: Path,
    sheet: Image.Image | None = None,
    predictions: str | PathLike[str] | None = None,
) -> None:
    """Write the files of a report: tables, scores as JSON and CSV, plots, contact sheet.

    Args:
        report: The report.
        folder: Folder for the files; it is created if it is missing.
        sheet: Contact sheet of clips; None to write no sheet.
        predictions: Folder of the predictions, which may be in the folder of the report.

    Raises:
        OutputError: If the folder has other contents, or a file cannot be written.
    """
    files: dict[str, Callable[[Path], object] | str] = {
        JSON_FILE: report.to_json(),
        CLIPS_FILE: report.clips_to_csv(),
    }
    pictures = {}
    for name, (title, draw) in PLOTS.items():
        figure = draw(report)
        if figure is not None:
            pictures[title] = name
            files[name] = partial(figure.savefig, dpi=DPI)
    if sheet is not None:
        pictures["The worst and the best clips"] = SHEET_FILE
        files[SHEET_FILE] = sheet.save
    files[TABLE_FILE] = to_markdown(report, pictures)
    write_files(files, folder, OWN_FOLDER, () if predictions is None else (Path(predictions),))


def _evaluate(
    predictor: Predictor,
    clips: AVSBench,
    threshold: float,
    robustness: bool,
    writer: PredictionWriter | None,
    on_clip: OnClip,
) -> Report:
    start = time.monotonic()
    generated = find_synthavs_split(clips)
    # Read once for all clips: an off-screen sound is chosen among the other clips.
    contents = read_contents(clips, generated)
    read_audio = partial(predictor.read_audio, clips)
    conditions = Conditions(predictor.sample_rate, read_audio, contents, generated)
    # Only scenes of SynthAVS can be rendered again with other sounds.
    scenes = min(FOLLOWED_SCENES, len(clips)) if robustness and generated is not None else 0
    totals = _Totals(threshold, clips.class_names)

    for index, clip in enumerate(clips):
        # Conditions are compared with the prediction for the original audio, so it comes first.
        audio = read_audio(index)
        own = predictor.predict(clip.clip, audio, clips.class_names).of_frames(clip.annotated)
        if writer is not None:  # logits at the model's resolution, before any threshold
            writer.add(clip.clip_id, own.mask_logits, own.class_logits)
        # A generator: the audio of one condition is in memory at a time.
        tested = conditions.of(index, clip.masks) if robustness else ()
        scores = {c.name: _score_condition(predictor, clip, c, own, threshold) for c in tested}
        totals.add(clip, own, () if contents is None else sorted(contents[index].sounding), scores)
        totals.add_baselines(clip, index, generated)
        on_clip(index + 1, len(clips) + scenes)

    following: FollowingScores | None = None
    if scenes and generated is not None:
        drawn = _draw_scenes(generated, scenes, len(clips), on_clip)
        following = measure_following(predictor, drawn, generated.parameter_split, threshold)
    return Report(
        model=predictor.name,
        weights_sha256=predictor.weights_sha256,
        vocabulary=predictor.vocabulary,
        data=str(clips.folder),
        subset=clips.subset,
        split=clips.split,
        threshold=threshold,
        clips=tuple(totals.clips),
        protocols=totals.protocols.compute(),
        f_curve=totals.f_curve(),
        semantic=totals.semantic(),
        baselines={name: metrics.compute() for name, metrics in totals.baselines.items()},
        following=following,
        seconds=time.monotonic() - start,
        environment=predictor.environment(),
    )


class _Totals:
    """Accumulator of the scores with the original audio.

    Args:
        threshold: Probability above which a pixel is marked.
        class_names: Classes by number, 0 the background; None for a data set without classes.

    Attributes:
        clips: Scores of each clip.
        protocols: Scores of the model by all published protocols.
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
        conditions: dict[str, ConditionScores],
    ) -> None:
        """Add the prediction for one clip, and its scores under conditions."""
        truth, probs = _truth(clip), _probs(own, clip)
        self.protocols.update(own.mask_logits, truth, clip.category)
        sounding = truth.flatten(1).any(1)
        # Summed over frames, not clips: this is the curve of the protocol "whole-set".
        # Silent frames have an F of 0 at all thresholds, so they are left out of the computation.
        self._f_curve_sum += f_curves(probs[sounding], truth[sounding]).sum(0)
        self._sounding_frames += int(sounding.sum())
        if self._class_names is not None and own.class_logits is not None:
            self._add_classes(clip, own.class_logits)
        scores = score_clip(clip.clip_id, categories, probs, truth, self._threshold)
        self.clips.append(replace(scores, conditions=conditions))

    def add_baselines(
        self, clip: AnnotatedClip, index: int, generated: SynthavsSplit | None
    ) -> None:
        """Score three masks made without a model: empty, full, and all visible objects if known."""
        truth = _truth(clip)
        # A useful model scores higher than these: silent frames reward empty masks, and marking
        # every visible object is often right.
        masks = {"nothing": torch.zeros(truth.shape), "everything": torch.ones(truth.shape)}
        if generated is not None:
            objects = generated.all_objects(index)[clip.annotated]
            masks["all objects"] = torch.from_numpy(objects).float()
        for name, probs in masks.items():
            metrics = self.baselines.setdefault(name, BinaryMetrics(self._threshold))
            metrics.update(probs, truth)

    def semantic(self) -> SemanticScores | None:
        """Compute the scores of the classes; None if the model or the data set has none."""
        if self._semantic is None or self._class_names is None:
            return None
        classes = self._semantic.by_class()
        return SemanticScores(
            protocols=self._semantic.compute(),
            classes={self._class_names[number]: scores for number, scores in classes.items()},
        )

    def _add_classes(self, clip: AnnotatedClip, class_logits: Tensor) -> None:
        if clip.labels is not None:
            # Created with the first prediction, which tells the number of classes.
            self._semantic = self._semantic or SemanticMetrics(class_logits.shape[1])
            # Class maps of frames without ground truth are all background, so they are left out.
            labels = torch.from_numpy(clip.labels[clip.annotated])
            self._semantic.update(class_map(class_logits, clip.masks.shape[1:]), labels)

    def f_curve(self) -> tuple[float, ...]:
        """Compute the mean F over the frames that are not silent, at each threshold."""
        if not self._sounding_frames:
            return ()
        return tuple((self._f_curve_sum / self._sounding_frames).tolist())


def _score_condition(
    predictor: Predictor,
    clip: AnnotatedClip,
    condition: Condition,
    own: Prediction,
    threshold: float,
) -> ConditionScores:
    """Predict the masks for the audio of a condition, and score them."""
    # Without class names: conditions score the masks alone, and naming sources takes long.
    prediction = predictor.predict(clip.clip, condition.audio).of_frames(clip.annotated)
    truth = None if condition.truth is None else condition.truth[clip.annotated]
    return score_condition(
        _probs(own, clip), _probs(prediction, clip), _truth(clip), truth, threshold
    )


def _draw_scenes(
    generated: SynthavsSplit, count: int, done: int, on_clip: OnClip
) -> Iterator[SyntheticClip]:
    """Yield the first scenes; each is reported as finished when the next one is requested."""
    for index in range(count):
        yield generated.draw(index)
        on_clip(done + index + 1, done + count)


def _check_folders(
    output: str | PathLike[str] | None, predictions: str | PathLike[str] | None
) -> None:
    """Raise an error if a folder may not be written to, before hours of work and not after."""
    if predictions is not None:
        PREDICTIONS_FOLDER.check(Path(predictions))
    if output is not None:
        OWN_FOLDER.check(Path(output), () if predictions is None else (Path(predictions),))
    if output is not None and predictions is not None:
        inside, whole = Path(output).resolve(), Path(predictions).resolve()
        if whole == inside or whole in inside.parents:
            raise OutputError(
                f"{output}: is in the folder of the predictions, {predictions}, which is replaced "
                "as a whole; choose another folder for the report."
            )


def _open_writer(
    folder: str | PathLike[str] | None, predictor: Predictor, clips: AVSBench, threshold: float
) -> AbstractContextManager[PredictionWriter | None]:
    """Open a folder for predictions; the context has no writer if no folder is given."""
    if folder is None:
        return nullcontext()
    facts = PredictionFacts(
        model=predictor.name,
        weights_sha256=predictor.weights_sha256,
        data=str(clips.folder),
        subset=clips.subset,
        split=clips.split,
        threshold=threshold,
    )
    return write_predictions(Path(folder), facts)


def _truth(clip: AnnotatedClip) -> Tensor:
    return torch.from_numpy(clip.masks[clip.annotated])


def _probs(prediction: Prediction, clip: AnnotatedClip) -> Tensor:
    return prediction.mask_probs(clip.masks.shape[1:])
