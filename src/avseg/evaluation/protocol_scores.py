"""Scores of saved predictions by every published protocol, computed without the model."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path

import torch

from avseg.datasets.avsbench import AVSBench
from avseg.errors import DatasetError
from avseg.evaluation.prediction import DataLike
from avseg.evaluation.prediction_files import PredictionFacts, SavedPredictions, read_predictions
from avseg.evaluation.report import write_file
from avseg.evaluation.tables import Table, semantic_table
from avseg.metrics.binary import BinaryMetrics, BinaryScores
from avseg.metrics.protocol_table import PROTOCOLS
from avseg.metrics.protocols import ProtocolScores, spread
from avseg.metrics.semantic import SemanticMetrics
from avseg.models.outputs import resize_logits

#: Version of the JSON; increased when an older version of avseg cannot read it.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PredictionScores:
    """Scores of one set of saved predictions.

    Attributes:
        facts: Model, data and threshold of the predictions.
        protocols: "j" and "f" by protocol.
        categories: "j" and "f" by category, then protocol; empty if the data have no categories.
        scores: Further scores, such as those of silent frames, at the threshold of the predictions.
        semantic: Scores of the classes by protocol; empty if the model or the data have none.
    """

    facts: PredictionFacts
    protocols: dict[str, dict[str, float]]
    categories: dict[str, dict[str, dict[str, float]]]
    scores: BinaryScores
    semantic: dict[str, dict[str, float]]

    def tables(self) -> list[Table]:
        """Format the scores as tables: protocols, categories by the first protocol, classes."""
        tables = [self.protocol_table()]
        if self.categories:
            tables.append(self.category_table(next(iter(self.protocols))))
        if self.semantic:
            tables.append(semantic_table(self.semantic))
        return tables

    def protocol_table(self) -> Table:
        """Format J and F of each protocol, and the range over the published protocols.

        Returns:
            The table. The last rows have the range without and with protocols that pool pixels.
        """
        rows = [
            (
                PROTOCOLS[name].title,
                *_figures(scores),
                "; ".join(quirk.effect for quirk in PROTOCOLS[name].quirks),
            )
            for name, scores in self.protocols.items()
        ]
        # The range shows how much a paper's figure depends on the protocol alone. Pooled protocols
        # compute another quantity, so there is one range without them.
        published = {name for name in self.protocols if PROTOCOLS[name].code != "avseg"}
        by_frame = {name for name in published if not PROTOCOLS[name].is_pooled}
        for names, title in ((by_frame, "published, by frame"), (published, "published, all")):
            if len(names) > 1:
                figures = _figures(spread(self.protocols[name] for name in names))
                rows.append((f"spread: {title}", *figures, "largest minus smallest"))
        facts = self.facts
        return Table(
            title=f"{facts.model} on {facts.subset}/{facts.split}",
            headings=("protocol", "mIoU (J)", "F", "differences from AVSBench's code"),
            rows=tuple(rows),
        )

    def category_table(self, name: str) -> Table:
        """Format the scores of each category by one protocol.

        Args:
            name: Name of the protocol.

        Returns:
            The table.
        """
        return Table(
            title=f"{PROTOCOLS[name].title}, by category",
            headings=("category", "mIoU (J)", "F"),
            rows=tuple(
                (category, *_figures(scores[name])) for category, scores in self.categories.items()
            ),
        )

    def to_json(self) -> str:
        """Return the scores as JSON, with the place of each quirk in the published code."""
        quirks = {name: [asdict(q) for q in PROTOCOLS[name].quirks] for name in self.protocols}
        codes = {name: PROTOCOLS[name].code for name in self.protocols}
        facts = {"schema_version": SCHEMA_VERSION, **asdict(self), "codes": codes, "quirks": quirks}
        return json.dumps(facts, indent=2) + "\n"


def score(
    predictions: str | PathLike[str],
    data: DataLike,
    *,
    protocol: Sequence[str] | None = None,
    output: str | PathLike[str] | None = None,
    on_clip: Callable[[int, int], object] = lambda *_: None,
) -> PredictionScores:
    """Score saved predictions by all published protocols, without the model.

    Args:
        predictions: Folder that `evaluate` wrote to `save_predictions`.
        data: Folder of the data sets for which the predictions were made, or the open split.
        protocol: Names of protocols, see `PROTOCOLS`; None for all.
        output: The JSON file to write; None to write none.
        on_clip: Called after each clip with the number done and the total.

    Returns:
        The scores.

    Raises:
        DatasetError: If a file is missing or damaged, or the predictions are of other clips.
        OutputError: If the JSON file cannot be written.
        ValueError: If there is no protocol of a name.
    """
    protocols = ProtocolScores(protocol)  # first, so that a misspelt name fails at once
    saved = read_predictions(Path(predictions))
    facts = saved.facts
    split = data if isinstance(data, AVSBench) else AVSBench(data, facts.subset, facts.split)
    # Predictions and clips are matched by position, so their order must be equal.
    _check_clips(saved, split)
    # The threshold of the evaluation, so that the scores equal those of its report.
    binary = BinaryMetrics(facts.threshold)
    semantic: SemanticMetrics | None = None
    for index in range(len(saved)):
        clip = split[index]
        truth = torch.from_numpy(clip.masks[clip.annotated])
        mask_logits, class_logits = saved.read(index)
        _check_frames(saved, index, len(truth))
        protocols.update(mask_logits, truth, clip.category, index)
        binary.update(resize_logits(mask_logits, truth.shape[1:]).sigmoid(), truth)
        if class_logits is not None and clip.labels is not None:
            labels = torch.from_numpy(clip.labels[clip.annotated])
            # As for masks, logits are resized and not class numbers, which cannot be interpolated.
            classes = resize_logits(class_logits, labels.shape[1:]).argmax(1)
            semantic = semantic or SemanticMetrics(class_logits.shape[1])
            semantic.update(classes, labels)
        on_clip(index + 1, len(saved))
    scores = PredictionScores(
        facts=facts,
        protocols=protocols.compute(),
        categories=protocols.by_category(),
        scores=binary.compute(),
        semantic={} if semantic is None else semantic.compute(),
    )
    if output is not None:
        write_file(Path(output), scores.to_json())
    return scores


def _check_clips(predictions: SavedPredictions, split: AVSBench) -> None:
    saved = [clip.clip_id for clip in predictions.clips]
    expected = [entry.name for entry in split.entries]
    if saved != expected:
        extra, missing = set(saved) - set(expected), set(expected) - set(saved)
        difference = "has them in another order"
        if extra or missing:
            verb, names = ("has", extra) if extra else ("lacks", missing)
            difference = f"{verb} {min(names)!r}"
        raise DatasetError(
            f"{predictions.folder}: is of {len(saved)} clips, split {split.split!r} of "
            f"{split.folder} has {len(expected)}; it {difference}. Give the data "
            f"for which the predictions were made ({predictions.facts.data})."
        )


def _check_frames(predictions: SavedPredictions, index: int, frames: int) -> None:
    clip = predictions.clips[index]
    if clip.shape[0] != frames:
        raise DatasetError(
            f"{predictions.folder / clip.file}: has {clip.shape[0]} frames, but {frames} of clip "
            f"{clip.clip_id} are annotated; give the data for which the predictions were "
            f"made ({predictions.facts.data})."
        )


def _figures(scores: dict[str, float]) -> tuple[str, str]:
    # Four digits, one more than in a report, since protocols often differ in the fourth digit.
    return f"{scores['j']:.4f}", f"{scores['f']:.4f}"
