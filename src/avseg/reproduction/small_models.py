"""Training of the packaged small models from random weights: all runs, the models, their scores.

The recipes name the runs from which they start, so the order follows from the recipes of the two
models. Each stage can be stopped at any point; the next call continues there.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path

from avseg.atomic import replace_when_complete
from avseg.checkpoints.cache import cache_folder
from avseg.checkpoints.catalog import find_checkpoint
from avseg.checkpoints.loading import load_checkpoint, save_packaged
from avseg.checkpoints.model_folder import WEIGHTS_FILE, file_sha256
from avseg.evaluation.evaluate import evaluate
from avseg.evaluation.report import JSON_FILE, Report, read_report
from avseg.evaluation.robustness import NEGATIVES
from avseg.reproduction.benchmark import CLIPS, STYLES, draw_data
from avseg.reproduction.runs import PlannedRun
from avseg.synthavs.generators import GENERATORS, GeneratorVersion
from avseg.training.recipe import load_recipe, recipe_names, seed_recipe
from avseg.training.run import read_metrics, run_recipe
from avseg.training.starts import TimeSpent, read_time

#: Name of each packaged model -> the recipe at the end of its training.
MODELS: dict[str, str] = {"av2t-sam-small": "av2t_sam_small", "tavis-small": "tavis_small"}

#: Version of SynthAVS from whose clips the models are trained; both versions are tested.
TRAINING_VERSION: GeneratorVersion = 3

#: Name of the file with the tables, in the folder of the runs.
TABLES_FILE = "small-models.md"

#: Called before each stage with its description, its number from 1 and the number of stages.
OnStage = Callable[[str, int, int], object]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a trained model on a test split.

    Attributes:
        model: Name of the packaged model.
        version: Version of SynthAVS.
        subset: "s4" or "ms3".
        split: Name of the split.
    """

    model: str
    version: GeneratorVersion
    subset: str
    split: str

    @property
    def name(self) -> str:
        """Name of the folder of the report."""
        return f"{self.model}_version-{self.version}_{self.subset}_{self.split}"


def reproduce_small_models(
    output: str | PathLike[str] = "runs",
    *,
    seed: int = 0,
    steps: int | None = None,
    clips: int | None = None,
    on_stage: OnStage = lambda *_: None,
) -> Path:
    """Train both packaged models from random weights, and measure them.

    Args:
        output: Folder of the runs, the data sets, the models, their reports and small-models.md.
        seed: Number that is added to the seed of each recipe. 0 trains the models of the package;
            other processors round differently, so that the weights may differ in value.
        steps: Training steps of each run, for a trial; None for the number in each recipe.
        clips: Training clips of each subset, for a trial; None for 1,000 (s4) and 1,200 (ms3).
        on_stage: Called before each stage with its description, its number and the number of
            stages.

    Returns:
        The file with the tables.

    Raises:
        DatasetError: If a data set is damaged.
        OutputError: If a file cannot be written.
        TrainingError: If a folder contains a run with another seed or other steps.
    """
    folder = Path(output)
    runs, evaluations = plan_runs(folder, seed, steps), plan_evaluations()
    stages = iter(range(1, len(runs) + len(GENERATORS) + len(evaluations) + 1))
    total = len(runs) + len(GENERATORS) + len(evaluations)
    data = {}
    for version in GENERATORS:
        on_stage(f"synthesize SynthAVS version {version}", next(stages), total)
        data[version] = draw_data(folder / f"synthavs-{version}", version, clips)
    for run in runs:
        on_stage(f"train {run.output}", next(stages), total)
        run_recipe(run.recipe, run.output, data[TRAINING_VERSION], cache_folder() / "features")
    _write_tables(folder, runs, {}, seed)
    models = {name: _package(name, recipe, folder) for name, recipe in MODELS.items()}
    reports = {}
    for evaluation in evaluations:
        on_stage(f"evaluate {evaluation.name}", next(stages), total)
        reports[evaluation] = _evaluate(evaluation, models[evaluation.model], data, folder)
    return _write_tables(folder, runs, reports, seed)


def plan_runs(folder: Path, seed: int = 0, steps: int | None = None) -> list[PlannedRun]:
    """List all runs that lead to the models, in the order of training.

    Args:
        folder: Folder of the runs.
        seed: Number that is added to the seed of each recipe.
        steps: Training steps of each run; None for the number in each recipe.

    Returns:
        The runs; each comes after the runs from which it starts.
    """
    planned: dict[str, PlannedRun] = {}

    def plan(name: str) -> None:
        recipe = load_recipe(name)
        for origin in recipe.start_from.values():
            if origin in recipe_names() and origin not in planned:
                plan(origin)
        seeded = seed_recipe(recipe, recipe.trainer["seed"] + seed)
        if steps is not None:
            seeded = replace(seeded, trainer=seeded.trainer | {"max_steps": steps})
        planned[name] = PlannedRun(seeded, folder / name)

    for name in MODELS.values():
        plan(name)
    return list(planned.values())


def plan_evaluations() -> list[Evaluation]:
    """List the evaluations of both models: both versions of SynthAVS, subsets and styles.

    Returns:
        The evaluations.
    """
    return [
        Evaluation(model, version, subset, split)
        for model in MODELS
        for version in GENERATORS
        for subset in CLIPS
        for split in STYLES
    ]


def _package(name: str, recipe: str, folder: Path) -> Path:
    """Save a trained model in half precision, as the package contains it."""
    model, processor = load_checkpoint(find_checkpoint(folder / recipe))
    card = f"# {name}\n\nTrained by `avseg reproduce small-models`; see {TABLES_FILE}.\n"
    return save_packaged(model, processor, folder / name, card).folder


def _evaluate(
    evaluation: Evaluation, model: Path, data: dict[GeneratorVersion, Path], folder: Path
) -> Report:
    """Evaluate a model, or read the report of an earlier evaluation of the same weights."""
    output = folder / "reports" / evaluation.name
    if (output / JSON_FILE).is_file():
        report = read_report(output)
        if report.weights_sha256 == file_sha256(model / WEIGHTS_FILE):
            return report
    return evaluate(
        str(model),
        data[evaluation.version],
        subset=evaluation.subset,  # type: ignore[arg-type]  # a key of CLIPS
        split=evaluation.split,
        output=output,
        # It takes most of the time, and unseen styles with several sources are the hardest case.
        robustness=evaluation.subset == "ms3" and evaluation.split == "test",
    )


def _write_tables(
    folder: Path, runs: list[PlannedRun], reports: dict[Evaluation, Report], seed: int
) -> Path:
    """Write the tables of the runs and of the reports."""
    lines = [
        "# The small models, trained from random weights",
        "",
        f"`avseg reproduce small-models --seed {seed}`. Hours include the evaluations during a "
        "training; CPU-hours are processor time of the training process, without the workers that "
        "load data. Of a training that was killed, the time since its last checkpoint is missing.",
        "",
        "| run | seed | steps x batch | hours | CPU-hours | scores at its end |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    spent = [read_time(run.output) for run in runs]
    lines += [_run_row(run, time) for run, time in zip(runs, spent, strict=True)]
    hours, cpu_hours = (sum(asdict(time)[name] for time in spent) for name in asdict(spent[0]))
    lines += [f"| all | | | {hours:.2f} | {cpu_hours:.2f} | |", ""]
    if reports:
        lines += [
            "| model | SynthAVS | clips | J | F | J of sounding frames | silent frames left clean "
            "| class mIoU | frames marked: muted, noise, off-screen |",
            "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | --- |",
            *(_score_row(evaluation, report) for evaluation, report in reports.items()),
        ]
    path = folder / TABLES_FILE
    with replace_when_complete(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _run_row(run: PlannedRun, spent: TimeSpent) -> str:
    """Format the row of a run."""
    trainer = run.recipe.trainer
    metrics = read_metrics(run.output, run.recipe) or {}
    scores = ", ".join(
        f"{name.removeprefix('eval_')} {value:.3f}"
        for name, value in metrics.items()
        if not name.endswith("_loss")
    )
    size = f"{trainer['max_steps']} x {trainer['per_device_train_batch_size']}"
    cells = (run.recipe.name, trainer["seed"], size, f"{spent.hours:.2f}", f"{spent.cpu_hours:.2f}")
    return f"| {' | '.join(map(str, cells))} | {scores} |"


def _score_row(evaluation: Evaluation, report: Report) -> str:
    """Format the row of an evaluation."""
    scores = [
        f"{report.scores[name].value:.3f}" if name in report.scores else "-"
        for name in ("j", "f", "j_sounding", "silent_clean")
    ]
    semantic = report.semantic and report.semantic.protocols["avss"]["j"]
    marked = [
        f"{report.conditions[name]['marked_frames'].value:.1%}"
        for name in NEGATIVES
        if name in report.conditions
    ]
    clips = f"{evaluation.subset}, {STYLES[evaluation.split]}"
    cells = [evaluation.model, f"version {evaluation.version}", clips, *scores]
    cells += [f"{semantic:.3f}" if semantic else "-", ", ".join(marked) or "-"]
    return f"| {' | '.join(cells)} |"
