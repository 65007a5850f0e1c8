"""Tasks that write something, with a tiny model and tiny data; they are killed, or the disk fills.

The model has random weights, and all results are the same in every run.
"""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import avseg
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.exporting import export_checkpoint
from avseg.synthavs.generators import SynthavsOptions
from avseg.synthavs.writer import write_synthavs
from avseg.types import Segmentation
from tests.models.factories import TPAVI
from tests.published import SAM2_CONFIG, make_model, write_config, write_published
from tests.reliability.commands import Task, call, command
from tests.segmenters import make_video, save_random_baseline, tone
from tests.training import tiny

#: Keys of JSON files that differ from run to run.
_CHANGING = ("commit", "date", "imported", "seconds", "started")

_ON_CPU = ("--device", "cpu")


@dataclass(frozen=True)
class Inputs:
    """Files that the tasks read.

    Attributes:
        model: Folder of a model with random weights.
        videos: Folder with two videos.
        data: Folder with S4 and MS3 of SynthAVS.
        recipe: Recipe of a tiny run with a checkpoint after every second step.
        published: Published files of a tiny AV2T-SAM.
        sizes: Configuration with their sizes.
        imported: Folder of the model that they make.
    """

    model: Path
    videos: Path
    data: Path
    recipe: Path
    published: tuple[Path, ...]
    sizes: Path
    imported: Path

    @property
    def split(self) -> tuple[object, ...]:
        """Options with a split of the data."""
        return ("--data", self.data, "--subset", "s4", "--split", "test_seen")


def make_inputs(folder: Path) -> Inputs:
    """Write the files that the tasks read.

    Args:
        folder: An empty folder.

    Returns:
        The inputs.
    """
    videos, data, recipe = folder / "videos", folder / "data", folder / "tiny.yaml"
    videos.mkdir()
    for name in ("a.mp4", "b.mp4"):
        make_video(videos / name, tone(2))
    for subset in ("s4", "ms3"):
        options = SynthavsOptions(subset=subset, clips=2, evaluation_clips=1, side=64)
        write_synthavs(data, options, workers=1)
    saving = {"max_steps": 6, "save_strategy": "steps", "save_steps": 2, "weight_decay": 0.1}
    recipe.write_text(tiny.changed(tiny.CLIP, "trainer", **saving).to_yaml())
    published = write_published(make_model(), folder / "published")
    sizes = write_config(SAM2_CONFIG, folder)
    imported = import_checkpoint(published, folder / "imported", config=sizes).folder
    model = save_random_baseline(folder / "model", TPAVI)
    return Inputs(model, videos, data, recipe, tuple(published), sizes, imported)


@dataclass(frozen=True)
class Job:
    """A task that writes into one folder.

    Attributes:
        name: Name in tables.
        task: Function of the inputs and of the folder to write that returns the task.
        finals: Names, relative to that folder, that must not exist before they are complete. `*`
            stands for any name.
    """

    name: str
    task: Callable[[Inputs, Path], Task]
    finals: tuple[str, ...]

    def complete(self, folder: Path) -> dict[str, str]:
        """Return a hash of the contents of each final file or folder that exists."""
        found = sorted(path for pattern in self.finals for path in folder.glob(pattern))
        return {
            str(path.relative_to(folder)): _digest(path)
            for path in found
            if not path.name.startswith(".")
        }


def _segment(inputs: Inputs, folder: Path) -> Task:
    return command("segment", inputs.videos, "-o", folder, "--model", inputs.model, *_ON_CPU)


def _evaluate(inputs: Inputs, folder: Path) -> Task:
    written = ("-o", folder / "report", "--save-predictions", folder / "predictions")
    return command("evaluate", inputs.model, *inputs.split, *written, "--no-robustness", *_ON_CPU)


def _train(inputs: Inputs, folder: Path) -> Task:
    output = ("--output", folder / "run", "--feature-cache", "none")
    return command("train", inputs.recipe, *output)


def _synthesize(_: Inputs, folder: Path) -> Task:
    sizes = ("--subset", "s4", "--clips", 3, "--evaluation-clips", 1, "--workers", 1)
    return command("data", "synthesize", *sizes, "--negatives", "--out", folder)


def _import(inputs: Inputs, folder: Path) -> Task:
    output = ("--config", inputs.sizes, "-o", folder / "model")
    return command("import-checkpoint", *inputs.published, *output)


def _export(inputs: Inputs, folder: Path) -> Task:
    return call(export_checkpoint, inputs.imported, folder / "model.pth")


def _draw(inputs: Inputs, folder: Path) -> Task:
    output = ("--clips", 1, "-o", folder / "sheet.png")
    return command("draw", "comparison", inputs.model, *inputs.split, *output, *_ON_CPU)


def _save_masks(_: Inputs, folder: Path) -> Task:
    rng = np.random.default_rng(0)
    masks = rng.random((40, 96, 128)) < 0.5  # noise compresses little, so that the files are large
    segmentation = Segmentation(
        origin="a.mp4",
        frame_times=np.arange(40) / 10,
        masks=masks,
        scores=np.ones(40, np.float32),
        model="none",
        threshold=0.5,
    )
    return call(avseg.save_masks, segmentation, folder / "masks")


def _reproduce(inputs: Inputs, folder: Path) -> Task:
    recipe = replace(tiny.BRIDGE, start_from={})
    options: dict[str, Any] = {
        "rows": ("clip",),
        "seeds": 1,
        "recipe": recipe,
        "feature_cache": "none",
    }
    return call(avseg.reproduce, "av2t-sam", output=folder, data=inputs.data, **options)


SEGMENT = Job("segment", _segment, ("*",))
EVALUATE = Job("evaluate", _evaluate, ("report", "predictions"))
TRAIN = Job("train", _train, ("run/model.safetensors", "run/metrics.json"))
SYNTHESIZE = Job("data synthesize", _synthesize, ("Single-source",))
IMPORT = Job("import-checkpoint", _import, ("model",))
EXPORT = Job("export_checkpoint", _export, ("model.pth",))
DRAW = Job("draw comparison", _draw, ("sheet.png",))
SAVE_MASKS = Job("save_masks", _save_masks, ("masks",))
REPRODUCE = Job("reproduce", _reproduce, ("*/model.safetensors", "*/metrics.json", "av2t-sam.*"))


def _digest(path: Path) -> str:
    """Return a hash of a file or folder that leaves out times of the day."""
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        data = file.read_bytes()
        if file.suffix == ".json":
            data = json.dumps(_without_times(json.loads(data)), sort_keys=True).encode()
        if file.suffix == ".md":
            data = re.sub(rb", \d+ s\.", b"", data)
        total.update(str(file.relative_to(path)).encode() + hashlib.sha256(data).digest())
    return total.hexdigest()


def _without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_times(v) for k, v in value.items() if k not in _CHANGING}
    return [_without_times(v) for v in value] if isinstance(value, list) else value
