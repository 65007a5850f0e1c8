"""What a model marked, kept on disk, so that it can be scored again without the model.

A folder holds one file of logits for each clip, in the order of the split, and a manifest that
says what they are of. The folder appears under its name when it is complete.

T frames, those of a clip that are annotated, of h x w pixels, the model's size; K classes.
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

from avseg.atomic import replace_when_complete
from avseg.datasets.layout import Subset
from avseg.errors import DatasetError

#: Increased whenever a reader has to change.
SCHEMA_VERSION = 1

MANIFEST = "manifest.json"

_MASKS, _CLASSES = "mask_logits", "class_logits"
_HOW_TO_GET = "write it with `avseg evaluate ... --save-predictions`"


@dataclass(frozen=True)
class PredictionFacts:
    """What predictions are of.

    Attributes:
        model: Name of the model.
        weights_sha256: Of its weights; None for a model that was never saved.
        data: Folder of the data set.
        subset: Which subset.
        split: Which split.
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
    """Where the logits of a clip are.

    Attributes:
        clip_id: Name of the clip in its data set.
        file: Name of the file.
        shape: Of the mask logits, (T, h, w).
    """

    clip_id: str
    file: str
    shape: tuple[int, ...]


class PredictionWriter:
    """Writes the predictions of a split, clip after clip; see `write_predictions`.

    Args:
        folder: Where the files go; it exists.
        facts: What the predictions are of.
    """

    def __init__(self, folder: Path, facts: PredictionFacts) -> None:
        self._folder = folder
        self._facts = facts
        self._clips: list[SavedClip] = []

    def add(self, clip_id: str, mask_logits: Tensor, class_logits: Tensor | None = None) -> None:
        """Write the next clip.

        Logits are kept as 16-bit floats, to three digits; what is beyond their range is cut off.

        Args:
            clip_id: Name of the clip in its data set.
            mask_logits: Masks before the sigmoid, in the frames that are annotated, (T, h, w).
            class_logits: Classes before the softmax in the same frames, (T, K, h, w), of a model
                that tells classes.

        Raises:
            ValueError: If the shapes are others.
        """
        given = {_MASKS: (mask_logits, 3), _CLASSES: (class_logits, 4)}
        tensors = {name: logits for name, (logits, _) in given.items() if logits is not None}
        for name, logits in tensors.items():
            if logits.ndim != given[name][1] or len(logits) != len(mask_logits):
                raise ValueError(
                    f"{name} of {clip_id} are {tuple(logits.shape)}; masks must be (T, h, w) and "
                    "classes (T, K, h, w), of one clip and its T frames."
                )
        clip = SavedClip(clip_id, f"{len(self._clips):05d}.safetensors", tuple(mask_logits.shape))
        save_file({name: _halve(t) for name, t in tensors.items()}, self._folder / clip.file)
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
        folder: Where to; what was there stays as it is until then.
        facts: What the predictions are of.

    Yields:
        What takes the clips, in the order of the split.

    Raises:
        OutputError: If the folder cannot be made.
    """
    with replace_when_complete(folder) as partial:
        partial.mkdir()
        writer = PredictionWriter(partial, facts)
        yield writer
        writer.finish()


@dataclass(frozen=True)
class Predictions:
    """Predictions that were saved; each is read from disk when it is asked for.

    Attributes:
        folder: Where they are.
        facts: What they are of.
        clips: In the order of the split.
    """

    folder: Path
    facts: PredictionFacts
    clips: tuple[SavedClip, ...]

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, index: int) -> tuple[Tensor, Tensor | None]:
        """Read a clip.

        Args:
            index: Its number in the split.

        Returns:
            Its mask logits, (T, h, w) float32, and its class logits, (T, K, h, w) float32, if the
            model tells classes.

        Raises:
            DatasetError: If its file is missing, damaged, or another clip's.
        """
        clip = self.clips[index]
        path = self.folder / clip.file
        try:
            tensors = load_file(path)
        except (OSError, SafetensorError) as error:
            raise DatasetError(f"{path}: cannot be read ({error}); {_HOW_TO_GET} again.") from error
        shape = tuple(tensors[_MASKS].shape) if _MASKS in tensors else None
        if shape != clip.shape:
            raise DatasetError(
                f"{path}: mask_logits are {shape}, the manifest says {clip.shape}; the files are "
                f"not of one writing, {_HOW_TO_GET} again."
            )
        classes = tensors.get(_CLASSES)
        return tensors[_MASKS].float(), None if classes is None else classes.float()


def read_predictions(folder: Path) -> Predictions:
    """Open predictions that were saved.

    Args:
        folder: Where they are.

    Returns:
        The predictions.

    Raises:
        DatasetError: If there are none, or they are of a version that cannot be read.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest.pop("schema_version")
        clips = manifest.pop("clips")
    except (OSError, ValueError, KeyError) as error:
        raise DatasetError(
            f"{path}: cannot be read as the manifest of predictions ({error}); {_HOW_TO_GET}."
        ) from error
    if version != SCHEMA_VERSION:
        raise DatasetError(
            f"{path}: has schema version {version}, this avseg reads {SCHEMA_VERSION}; "
            f"{_HOW_TO_GET} of this version."
        )
    saved = (SavedClip(clip["clip_id"], clip["file"], tuple(clip["shape"])) for clip in clips)
    return Predictions(folder, PredictionFacts(**manifest), tuple(saved))


def _halve(logits: Tensor) -> Tensor:
    limit = torch.finfo(torch.float16).max
    return logits.detach().cpu().float().clamp(-limit, limit).half().contiguous()
