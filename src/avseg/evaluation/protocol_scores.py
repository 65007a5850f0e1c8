"""Saved predictions scored by every protocol side by side, without the model."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from avseg.atomic import replace_when_complete
from avseg.datasets.avsbench import AVSBench
from avseg.errors import DatasetError, OutputError
from avseg.evaluation.prediction_files import PredictionFacts, Predictions
from avseg.metrics.binary import BinaryMetrics, BinaryScores
from avseg.metrics.protocol_table import PROTOCOLS
from avseg.metrics.protocols import ProtocolScores, spread
from avseg.metrics.semantic import SEMANTIC_PROTOCOLS, SemanticMetrics
from avseg.models.outputs import resize_logits

#: Increased whenever a reader of the JSON has to change.
SCHEMA_VERSION = 1

Row = tuple[str, ...]

#: Headings and rows.
Table = tuple[Row, list[Row]]


@dataclass(frozen=True)
class Rescored:
    """What protocols make of one set of predictions.

    Attributes:
        facts: What the predictions are of.
        protocols: "j" and "f" by protocol.
        categories: The same of the clips of each category alone; empty if there are none.
        scores: What the protocols hide, at the threshold of the predictions.
        semantic: Scores of classes by protocol; empty if the model or the data has none.
    """

    facts: PredictionFacts
    protocols: dict[str, dict[str, float]]
    categories: dict[str, dict[str, dict[str, float]]]
    scores: BinaryScores
    semantic: dict[str, dict[str, float]]

    def table(self) -> Table:
        """Spell the scores out.

        Returns:
            Headings, and for each protocol its title, figures and quirks; last how far the
            published ones lie apart, without and with those that pool pixels.
        """
        rows: list[Row] = [
            (PROTOCOLS[name].title, *_figures(row), _quirks(name))
            for name, row in self.protocols.items()
        ]
        published = {name for name in self.protocols if PROTOCOLS[name].code != "avseg"}
        by_frame = {name for name in published if not PROTOCOLS[name].is_pooled}
        for names, title in ((by_frame, "published, by frame"), (published, "published, all")):
            if len(names) > 1:
                figures = _figures(spread(self.protocols[name] for name in names))
                rows.append((f"spread: {title}", *figures, "largest less smallest"))
        return ("protocol", "mIoU (J)", "F", "what it does otherwise than AVSBench's code"), rows

    def category_table(self, name: str) -> Table:
        """Spell out one protocol's scores of each category.

        Args:
            name: Of the protocol.

        Returns:
            Headings, and for each category its name and figures.
        """
        rows: list[Row] = [
            (category, *_figures(scores[name])) for category, scores in self.categories.items()
        ]
        return ("category", "mIoU (J)", "F"), rows

    def semantic_table(self) -> Table:
        """Spell out the scores of classes.

        Returns:
            Headings, and for each protocol its title and figures.
        """
        keys = ("j", "f", "j_without_background", "f_without_background")
        rows: list[Row] = [
            (SEMANTIC_PROTOCOLS[name].title, *(f"{row[key]:.4f}" for key in keys))
            for name, row in self.semantic.items()
        ]
        headings = ("protocol", "mIoU (J)", "F", "J without background", "F without background")
        return headings, rows

    def to_json(self) -> str:
        """Write the scores for programs, with the source of each quirk."""
        quirks = {name: [asdict(q) for q in PROTOCOLS[name].quirks] for name in self.protocols}
        codes = {name: PROTOCOLS[name].code for name in self.protocols}
        facts = {"schema_version": SCHEMA_VERSION, **asdict(self), "codes": codes, "quirks": quirks}
        return json.dumps(facts, indent=2) + "\n"


def rescore(
    predictions: Predictions,
    split: AVSBench,
    names: Sequence[str] | None = None,
    on_clip: Callable[[], None] = lambda: None,
) -> Rescored:
    """Score predictions without the model that made them.

    Args:
        predictions: What was saved.
        split: The data they are of.
        names: Of the protocols, see `PROTOCOLS`; None for all.
        on_clip: Called whenever a clip is done.

    Returns:
        The scores.

    Raises:
        DatasetError: If the predictions are of other clips, or a file is missing or damaged.
        ValueError: If there is no protocol of a name.
    """
    protocols = ProtocolScores(names)
    _check_clips(predictions, split)
    binary = BinaryMetrics(predictions.facts.threshold)
    semantic: SemanticMetrics | None = None
    for index in range(len(predictions)):
        clip = split[index]
        targets = torch.from_numpy(clip.masks[clip.annotated])
        mask_logits, class_logits = predictions.read(index)
        _check_frames(predictions, index, len(targets))
        protocols.update(mask_logits, targets, clip.category, index)
        binary.update(resize_logits(mask_logits, targets.shape[1:]).sigmoid(), targets)
        if class_logits is not None and clip.labels is not None:
            true = torch.from_numpy(clip.labels[clip.annotated])
            classes = resize_logits(class_logits, true.shape[1:]).argmax(1)
            semantic = semantic or SemanticMetrics(class_logits.shape[1])
            semantic.update(classes, true)
        on_clip()
    return Rescored(
        facts=predictions.facts,
        protocols=protocols.compute(),
        categories=protocols.by_category(),
        scores=binary.compute(),
        semantic={} if semantic is None else semantic.compute(),
    )


def save_scores(rescored: Rescored, path: Path) -> None:
    """Write scores as JSON; the file appears when it is complete.

    Args:
        rescored: The scores.
        path: The file.

    Raises:
        OutputError: If it cannot be written.
    """
    try:
        with replace_when_complete(path) as partial:
            partial.write_text(rescored.to_json(), encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{path}: the scores cannot be written ({error.strerror}); name another file."
        ) from error


def _check_clips(predictions: Predictions, split: AVSBench) -> None:
    saved = [clip.clip_id for clip in predictions.clips]
    there = [entry.name for entry in split.entries]
    if saved != there:
        other, lacking = set(saved) - set(there), set(there) - set(saved)
        difference = "has them in another order"
        if other or lacking:
            verb, names = ("has", other) if other else ("lacks", lacking)
            difference = f"{verb} {min(names)!r}"
        raise DatasetError(
            f"{predictions.folder}: is of {len(saved)} clips, split {split.split!r} of "
            f"{split.folder} has {len(there)}; it {difference}. Give the data that the predictions "
            f"were made of ({predictions.facts.data})."
        )


def _check_frames(predictions: Predictions, index: int, frames: int) -> None:
    clip = predictions.clips[index]
    if clip.shape[0] != frames:
        raise DatasetError(
            f"{predictions.folder / clip.file}: has {clip.shape[0]} frames, but {frames} of clip "
            f"{clip.clip_id} are annotated; give the data that the predictions were made of "
            f"({predictions.facts.data})."
        )


def _quirks(name: str) -> str:
    return "; ".join(quirk.effect for quirk in PROTOCOLS[name].quirks)


def _figures(row: dict[str, float]) -> tuple[str, str]:
    return f"{row['j']:.4f}", f"{row['f']:.4f}"
