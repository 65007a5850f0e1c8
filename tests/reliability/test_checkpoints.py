"""Damaged and hostile checkpoints: loaded or refused, never an exception, and nothing executed."""

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.conversion import import_checkpoint
from avseg.checkpoints.delta import FrozenPart, save_trained
from avseg.checkpoints.exporting import export_checkpoint
from avseg.checkpoints.loading import load_checkpoint
from avseg.checkpoints.reading import read_published
from avseg.checkpoints.saving import save_weights
from avseg.training.run import run_recipe
from tests.models.factories import TPAVI
from tests.published import SAM2_CONFIG, make_model, write_config, write_published
from tests.reliability.outcomes import CRASH, HANG, RAW, Outcome, Table
from tests.reliability.subjects import Subject
from tests.reliability.workers import guarded, try_each
from tests.segmenters import (
    save_random_baseline,
    save_random_cascade,
    save_random_model,
    save_random_tavis,
    save_random_text_model,
)
from tests.training import tiny

pytestmark = [pytest.mark.reliability, pytest.mark.timeout(0)]

_READ, _EXECUTED = "read", "executed"
_KINDS = (_READ, "refused", RAW, _EXECUTED, CRASH, HANG)
_LIMIT_S = 120
_RECIPE = tiny.changed(
    tiny.CLIP, "trainer", max_steps=4, save_strategy="steps", save_steps=2, weight_decay=0.1
)


def read_model(folder: Path) -> str:
    """Load a model as `avseg segment` does, in memory and from its file."""
    checkpoint = find_checkpoint(folder)
    checkpoint.sha256()
    load_checkpoint(checkpoint)
    load_checkpoint(checkpoint, "low")
    return _READ


def read_delta(folder: Path) -> str:
    """Load a model of which a run saved the trained weights only."""
    return read_model(folder / "run")


def read_imported(folder: Path) -> str:
    """Convert published files to a model."""
    files = sorted((folder / "published").iterdir())
    for file in files:
        read_published(file)
    import_checkpoint(files, folder / "new", config=folder / "config.json")
    return _READ


def read_exported(folder: Path) -> str:
    """Export an imported model in its authors' format."""
    export_checkpoint(folder, folder.with_suffix(".pth"))
    return _READ


def read_run(folder: Path) -> str:
    """Resume a run from its checkpoints."""
    run_recipe(_RECIPE, folder)
    return _READ


def save_delta(folder: Path) -> Path:
    """Save a model of which the weights of CLIP are in another file."""
    run, weights = save_random_model(folder / "run"), folder / "clip" / "model.safetensors"
    model, _ = load_checkpoint(find_checkpoint(run))
    state = model.state_dict()
    frozen = {name: values for name, values in state.items() if name.startswith("clip.")}
    weights.parent.mkdir()
    save_weights({name.removeprefix("clip."): v for name, v in frozen.items()}, weights)
    part = FrozenPart.of_file(weights, "clip.", "", is_published=False, source=None)
    names = tuple(name.removeprefix("clip.") for name in frozen)
    save_trained(state, [FrozenPart(**{**vars(part), "names": names})], run)
    (run / "model.safetensors").unlink()
    return folder


def save_stopped_run(folder: Path) -> Path:
    """Train a run, and remove its last checkpoint and its results, as if it had been stopped."""
    run_recipe(_RECIPE, folder)
    for name in ("model.safetensors", "metrics.json", "trainer_state.json"):
        (folder / name).unlink()
    shutil.rmtree(folder / "checkpoint-4")
    return folder


@pytest.fixture(scope="module")
def subjects(tmp_path_factory: pytest.TempPathFactory) -> list[Subject]:
    """Saved models of each kind, published files, and a stopped run."""
    folder = tmp_path_factory.mktemp("subjects")
    of_folder = Subject.of_folder
    models = [
        of_folder("TPAVI", save_random_baseline(folder / "tpavi", TPAVI), read_model),
        of_folder("EVF-SAM", save_random_text_model(folder / "evf_sam"), read_model),
        of_folder("cascade", save_random_cascade(folder / "cascade"), read_model),
        of_folder("TAViS", save_random_tavis(folder / "tavis"), read_model),
        of_folder("trained weights only", save_delta(folder / "delta"), read_delta),
    ]
    published = write_published(make_model(), folder / "import" / "published")
    sizes = write_config(SAM2_CONFIG, folder / "import")
    imported = import_checkpoint(published, folder / "imported", config=sizes).folder
    return [
        *models,
        of_folder("published files", folder / "import", read_imported),
        of_folder("imported model, exported", imported, read_exported),
        of_folder("stopped run", save_stopped_run(folder / "runs" / "run"), read_run),
    ]


def test_damaged_checkpoints_are_loaded_or_refused(
    subjects: list[Subject],
    tmp_path: Path,
    scaled: Callable[..., int],
    publish: Callable[[Table, str], None],
) -> None:
    table = Table("Damaged checkpoints", _KINDS)

    def damage(number: int) -> Outcome:
        row, outcome = subjects[number % len(subjects)].damage(number, tmp_path)
        return Outcome(outcome.kind, f"{row}|{outcome.detail}")

    numbers = range(scaled(2000, at_least=2 * len(subjects)))
    for number, outcome in try_each(damage, numbers, _LIMIT_S):
        row, _, detail = outcome.detail.partition("|")
        row = row if outcome.kind not in (CRASH, HANG) else "(ended)"
        table.add(row, Outcome(outcome.kind, detail or f"case {number}"))
    table.counts = dict(sorted(table.counts.items()))
    publish(table, "checkpoints")
    assert table.total(CRASH, HANG, RAW) == 0, table.to_markdown()


class Attack:
    """Object in a malicious pickle: a call that is made when it is read."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return os.mkdir, (os.environ["ATTACKED"],)


#: File of a subject -> writer of a hostile file in its place.
_ATTACKS: dict[str, Callable[[Path], object]] = {
    "pickle": lambda path: path.write_bytes(pickle.dumps(Attack())),
    "zip": lambda path: torch.save({"model": Attack()}, path),
    "old zip": lambda path: torch.save(
        {"model": Attack()}, path, _use_new_zipfile_serialization=False
    ),
}


def attack_file(
    subject: Subject, file: Path, write: Callable[[Path], object], folder: Path
) -> Outcome:
    """Replace one file of a subject by a hostile one, and read the subject."""
    marker = folder / f"attacked-{os.getpid()}"
    os.environ["ATTACKED"] = str(marker)
    copy = folder / f"copy-{os.getpid()}"
    shutil.copytree(subject.folder, copy)
    write(copy / file)
    outcome = guarded(lambda copy: Outcome(subject.read(copy)), copy)
    shutil.rmtree(copy)
    if marker.exists():
        marker.rmdir()
        return Outcome(_EXECUTED, f"{file}")
    return Outcome(outcome.kind, f"{file}: {outcome.detail}")


def test_no_file_of_a_checkpoint_is_executed(
    subjects: list[Subject],
    tmp_path: Path,
    size: float,
    publish: Callable[[Table, str], None],
) -> None:
    table = Table(
        "Hostile pickles in the place of each file", _KINDS, (RAW, _EXECUTED, CRASH, HANG)
    )
    cases = [
        (subject, file, write)
        for subject in subjects
        for file in subject.files
        for write in _ATTACKS.values()
    ]
    cases = cases if size >= 1 else cases[:: len(_ATTACKS)]
    for (subject, _, _), outcome in try_each(
        lambda case: attack_file(*case, tmp_path), cases, _LIMIT_S
    ):
        table.add(subject.name, outcome)
    publish(table, "attacks")
    assert table.total(CRASH, HANG, RAW, _EXECUTED) == 0, table.to_markdown()
