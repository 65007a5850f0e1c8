"""Predictions on disk, so that they can be scored again without the model.

A folder has one file of logits for each clip, in the order of the split, and a manifest with the
model, the data and the threshold. The folder appears under its name when it is complete.

T annotated frames of a clip, h x w pixels at the model's resolution, K classes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from avseg.atomic import OwnFolder, has_marker, replace_when_complete
from avseg.datasets.layout import Subset
from avseg.errors import DatasetError

#: Increased if an older reader cannot read the folder.
SCHEMA_VERSION = 1

MANIFEST = "manifest.json"

#: The folder is replaced as a whole, so anything else in it would be lost.
OWN_FOLDER = OwnFolder(
    "saved predictions",
    has_marker(
        MANIFEST, ("schema_version", "model", "weights_sha256"), (MANIFEST, "[0-9]*.safetensors")
    ),
)

#: Errors of reading JSON with any other content; RuntimeError is that of too deep a nesting.
_PARSE_ERRORS = (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError)

_MASKS, _CLASSES = "mask_logits", "class_logits"
_HOW_TO_WRITE = "write it with `avseg evaluate ... --save-predictions`"


@dataclass(frozen=True)
class PredictionFacts:
    """The model, the data and the threshold of predictions.

    Attributes:
        model: Name of the model.
        weights_sha256: SHA-256 of its weights file; None for a model that was never saved.
        data: Folder of the data set.
        subset: Name of the subset.
        split: Name of the split.
        threshold: Probability above which the model marks a pixel.
    """

    model: str
    weights_sha256: str | None
    data: str
    subset: Subset
    split: str
    threshold: float


@dataclass(frozen=True)
class SavedClip:
    """The file with the logits of one clip.

    Attributes:
        clip_id: Name of the clip in its data set.
        file: Name of the file.
        shape: Shape of the mask logits, (T, h, w).
    """

    clip_id: str
    file: str
    shape: tuple[int, ...]


class PredictionWriter:
    """Writer for the predictions of a split, clip by clip; see `write_predictions`.

    Args:
        folder: Folder for the files; it exists.
        facts: Model, data and threshold of the predictions.
    """

    def __init__(self, folder: Path, facts: PredictionFacts) -> None:
        self._folder = folder
        self._facts = facts
        self._clips: list[SavedClip] = []

    def add(self, clip_id: str, mask_logits: Tensor, class_logits: Tensor | None = None) -> None:
        """Write the next clip.

        Logits are stored as 16-bit floats, which keep three digits and half the space; larger
        values are clamped to the range of the format.

        Args:
            clip_id: Name of the clip in its data set.
            mask_logits: Mask logits of the annotated frames, (T, h, w).
            class_logits: Class logits of the same frames, (T, K, h, w); None for a model without
                classes.

        Raises:
            ValueError: If the shapes do not match.
        """
        dimensions = {_MASKS: (mask_logits, 3), _CLASSES: (class_logits, 4)}
        tensors = {name: logits for name, (logits, _) in dimensions.items() if logits is not None}
        for name, logits in tensors.items():
            if logits.ndim != dimensions[name][1] or len(logits) != len(mask_logits):
                raise ValueError(
                    f"{name} of {clip_id} are {tuple(logits.shape)}; masks must be (T, h, w) and "
                    "classes (T, K, h, w), of one clip and its T frames."
                )
        clip = SavedClip(clip_id, f"{len(self._clips):05d}.safetensors", tuple(mask_logits.shape))
        save_file({name: _to_half(t) for name, t in tensors.items()}, self._folder / clip.file)
        self._clips.append(clip)

    def finish(self) -> None:
        """Write the manifest."""
        manifest = {
            "schema_version": SCHEMA_VERSION,
            **asdict(self._facts),
            "clips": [asdict(clip) for clip in self._clips],
        }
        text = json.dumps(manifest, indent=2) + "\n"
        (self._folder / MANIFEST).write_text(text, encoding="utf-8")


@contextmanager
def write_predictions(folder: Path, facts: PredictionFacts) -> Iterator[PredictionWriter]:
    """Write predictions to a folder, which appears when all of them are written.

    Args:
        folder: The folder; one that this function wrote before is replaced at the end.
        facts: Model, data and threshold of the predictions.

    Yields:
        A writer that takes the clips in the order of the split.

    Raises:
        OutputError: If the folder has other contents, or cannot be written.
    """
    with replace_when_complete(folder, OWN_FOLDER) as partial:
        partial.mkdir()
        writer = PredictionWriter(partial, facts)
        yield writer
        writer.finish()  # not reached after an error, so that a manifest means a complete folder


@dataclass(frozen=True)
class SavedPredictions:
    """A folder of predictions; each clip is read from disk on request.

    Attributes:
        folder: The folder.
        facts: Model, data and threshold of the predictions.
        clips: The clips in the order of the split.
    """

    folder: Path
    facts: PredictionFacts
    clips: tuple[SavedClip, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read the logits of a clip.

        Args:
            index: Number of the clip in the split.

        Returns:
            Its mask logits, (T, h, w) float32, and its class logits, (T, K, h, w) float32, or None
            for a model without classes.

        Raises:
            DatasetError: If its file is missing, damaged, or of another clip.
        """
        clip = self.clips[index]
        path = self.folder / clip.file
        try:
            tensors = load_file(path)
        # ValueError: a name in the manifest that no file system can have.
        except (OSError, ValueError, SafetensorError) as error:
            raise DatasetError(
                f"{path}: cannot be read ({error}); {_HOW_TO_WRITE} again."
            ) from error
        # A file of an earlier writing with the same name would load without an error.
        shape = tuple(tensors[_MASKS].shape) if _MASKS in tensors else None
        if shape != clip.shape:
            raise DatasetError(
                f"{path}: mask_logits are {shape}, the manifest says {clip.shape}; the files "
                f"were not written together, {_HOW_TO_WRITE} again."
            )
        classes = tensors.get(_CLASSES)
        if not all(values.isfinite().all() for values in tensors.values()):
            raise DatasetError(f"{path}: has logits that are not finite; {_HOW_TO_WRITE} again.")
        return tensors[_MASKS].float(), None if classes is None else classes.float()


def read_predictions(folder: Path) -> SavedPredictions:
    """Read the manifest of saved predictions.

    Args:
        folder: The folder.

    Returns:
        The predictions.

    Raises:
        DatasetError: If there is no manifest, or it has another schema version.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest.pop("schema_version")
        clips = manifest.pop("clips")
    except _PARSE_ERRORS as error:
        raise DatasetError(
            f"{path}: cannot be read as the manifest of predictions ({error}); {_HOW_TO_WRITE}."
        ) from error
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has schema version {version}, this avseg reads {SCHEMA_VERSION}; "
            f"{_HOW_TO_WRITE} of this version."
        )
    try:
        facts = PredictionFacts(**manifest)
        saved = [SavedClip(clip["clip_id"], clip["file"], tuple(clip["shape"])) for clip in clips]
        _check_types(facts, saved)
        return SavedPredictions(folder, facts, tuple(saved))
    except _PARSE_ERRORS as error:
        raise DatasetError(f"{path}: is damaged ({error!r}); {_HOW_TO_WRITE} again.") from error


def _check_types(facts: PredictionFacts, clips: list[SavedClip]) -> None:
    """Raise an error if a value of a manifest is of another type than was written."""
    texts = [facts.model, facts.data, facts.subset, facts.split]
    texts += [text for clip in clips for text in (clip.clip_id, clip.file)]
    for value in texts:
        if not isinstance(value, str):
            raise TypeError(f"{value!r} should be a text")
    if not isinstance(facts.threshold, (int, float)):
        raise TypeError(f"threshold is {facts.threshold!r}")


def _to_half(logits: Tensor) -> Tensor:
    # Without the clamp, large logits become infinite, and their resizing gives NaN.
    limit = torch.finfo(torch.float16).max
    return logits.detach().cpu().float().clamp(-limit, limit).half().contiguous()
