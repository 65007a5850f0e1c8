"""AV2T-SAM's Tables 1 and 2 in small (Lee, Zhang, Duan 2025, arXiv:2502.16359).

Features x adapters, single (S4) and multi source (MS3), several seeds: the bridge of the small
model on SynthAVS, all from the same frozen parts. Beside them two baselines without any model:
nothing is marked; every object is marked, sounding or not.

J is AVSBench's mIoU, F its F-score.
"""

import json
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from avseg.datasets.avsbench import AVSBench
from avseg.datasets.contents import find_generated
from avseg.datasets.synthetic.recipe import Recipe as DataRecipe
from avseg.datasets.synthetic.writer import write_synthavs
from avseg.errors import TrainingError
from avseg.export.partial import replace_when_complete
from avseg.metrics.binary import BinaryMetrics
from avseg.reproduction.grid import Measures, Stage, plan_grid, train_grid
from avseg.training.recipe import Recipe, load_recipe

#: Name of a row to the features that become the prompt, and whether there are adapters.
ROWS: dict[str, tuple[str, bool]] = {
    "clip": ("clip", False),
    "clap": ("clap", False),
    "mul": ("mul", False),
    "clip+adapters": ("clip", True),
    "clap+adapters": ("clap", True),
    "mul+adapters": ("mul", True),
}

#: Rows without a model.
NOTHING, ALL_OBJECTS = "nothing is marked", "every object is marked"

#: The paper's J in percent and F, S4 then MS3: Table 1, on SAM 2. Of Table 2 only this is stated
#: in its text (section 5.3): CLIP alone reaches a J of 86.67 on S4.
PAPER: dict[str, tuple[float, float, float, float]] = {
    "mul": (85.63, 0.920, 64.47, 0.704),
    "mul+adapters": (86.67, 0.924, 69.65, 0.777),
}

#: Where figures are measured: art styles of training, and others; sounds are new in both.
STYLES = {"test_seen": "seen art styles", "test": "unseen art styles"}

#: Training clips of SynthAVS, where no data is given; 80 clips for each evaluation split.
_CLIPS: dict[Literal["s4", "ms3"], int] = {"s4": 1000, "ms3": 1200}
_EVALUATION_CLIPS = 80

_RECIPE = "av2t_sam_small"


#: How far J of the picture alone may lie below, and still do what sound and picture do.
_AS_GOOD = 0.01


@dataclass(frozen=True)
class Finding:
    """What the paper says, and what was found.

    Attributes:
        claim: The paper's.
        verdict: Whether it holds here.
        figures: The difference that decides, and what chance of the seeds makes of it.
    """

    claim: str
    verdict: Literal["holds", "does not hold", "cannot be told"]
    figures: str


@dataclass(frozen=True)
class Reproduction:
    """All that was measured.

    Attributes:
        rows: Name of a row to the measures of its runs, one for each seed.
        steps: Of each training.
    """

    rows: dict[str, list[Measures]]
    steps: int

    def findings(self) -> list[Finding]:
        """Compare with what the paper says, by J in unseen art styles.

        Returns:
            A finding for each of the paper's claims that the rows allow to judge.
        """
        found = []
        for adapters, words in (("+adapters", "with"), ("", "without")):
            names = [f"{features}{adapters}" for features in ("clip", "clap", "mul")]
            if set(names) <= self.rows.keys():
                clip, clap, mul = names
                for subset in _CLIPS:
                    best = max(clip, clap, key=lambda name: self._mean(name, subset))
                    claim = f"CLIP x CLAP is the best prompt, {words} adapters, {subset}"
                    found.append(self._judge(claim, {mul: 1, best: -1}, (subset,)))
                claim = f"the picture alone does the single source, {words} adapters"
                found.append(self._judge(claim, {clip: 1, mul: -1}, ("s4",), _AS_GOOD))
        if {"mul", "mul+adapters"} <= self.rows.keys():
            gain = {"mul+adapters": 1, "mul": -1}
            found += [self._judge(f"adapters help, {subset}", gain, (subset,)) for subset in _CLIPS]
            claim = "adapters help more with multiple sources than with a single one"
            found.append(self._judge(claim, gain, ("ms3", "s4")))
        return found

    def markdown(self) -> str:
        """Write the tables beside the paper's, and the findings.

        Returns:
            Markdown.
        """
        lines = [f"# AV2T-SAM in small: {self.steps} steps on SynthAVS"]
        for split, words in STYLES.items():
            lines += [
                "",
                f"{words.capitalize()}, unheard sounds (`{split}`); mean and standard deviation "
                "over seeds. Paper: SAM 2 at full size on AVSBench, another world.",
                "",
                "| prompt | seeds | S4 J | S4 F | MS3 J | MS3 F | MS3 silent frames left clean "
                "| paper S4 J, F | paper MS3 J, F |",
                "| --- |" + " --- |" * 8,
            ]
            for name, runs in self.rows.items():
                cells = [
                    _spread([run[measure] for run in runs if measure in run])
                    for measure in _measures_of(split)
                ]
                s4_j, s4_f, ms3_j, ms3_f = PAPER.get(name, (None,) * 4)
                paper = [f"{s4_j}, {s4_f}", f"{ms3_j}, {ms3_f}"] if name in PAPER else ["-", "-"]
                lines.append(f"| {' | '.join([name, str(len(runs)), *cells, *paper])} |")
        lines += ["", "| the paper says | here | difference of J |", "| --- | --- | --- |"]
        lines += [f"| {f.claim} | {f.verdict} | {f.figures} |" for f in self.findings()]
        return "\n".join(lines) + "\n"

    def save(self, folder: Path) -> None:
        """Write `av2t-sam.md` and `av2t-sam.json`.

        Args:
            folder: Where to.
        """
        content = asdict(self) | {"findings": [asdict(finding) for finding in self.findings()]}
        for name, text in (
            ("av2t-sam.md", self.markdown()),
            ("av2t-sam.json", json.dumps(content, indent=2) + "\n"),
        ):
            with replace_when_complete(folder / name) as partial:
                partial.write_text(text, encoding="utf-8")

    def _values(self, name: str, subset: str) -> list[float]:
        return [run[f"{subset}_test_j"] for run in self.rows[name]]

    def _mean(self, name: str, subset: str) -> float:
        return statistics.mean(self._values(name, subset))

    def _judge(
        self, claim: str, signs: Mapping[str, int], subsets: Sequence[str], margin: float = 0.0
    ) -> Finding:
        """Judge a claim by a sum of means with signs; of a second subset it is subtracted.

        It holds or not if the sum is more than two standard errors away from zero.
        """
        difference, variance = 0.0, 0.0
        for sign_of_subset, subset in zip((1, -1), subsets, strict=False):
            for name, sign in signs.items():
                values = self._values(name, subset)
                difference += sign_of_subset * sign * statistics.mean(values)
                variance += (
                    statistics.variance(values) / len(values) if len(values) > 1 else math.inf
                )
        error = 2 * math.sqrt(variance)
        if difference + margin > error:
            return Finding(claim, "holds", _signed(difference, error))
        if difference + margin < -error:
            return Finding(claim, "does not hold", _signed(difference, error))
        return Finding(claim, "cannot be told", _signed(difference, error))


def reproduce(  # noqa: PLR0913 - one argument for each option of the command
    output: Path,
    data: Path | None = None,
    *,
    rows: Sequence[str] = tuple(ROWS),
    seeds: int = 3,
    steps: int | None = None,
    recipe: Recipe | None = None,
    on_stage: Callable[[Stage, int, int], None] = lambda *_: None,
    feature_cache: Path | None = None,
) -> Reproduction:
    """Train and measure the grid; what is there already is not done again.

    Args:
        output: Folder of the runs. Those of `clip_small`, `clap_small` and what else the small
            model starts from are made if they are not there, which takes many times as long as the
            grid.
        data: Folder with SynthAVS's s4 and ms3; None to draw them into `output`.
        rows: Names out of `ROWS`.
        seeds: Runs of each row.
        steps: Of each training of the grid; None for the recipe's.
        recipe: The small model's; None for the packaged one.
        on_stage: Called before a training begins, with its number from 1 and how many there are.
        feature_cache: As for `run_recipe`.

    Returns:
        What was measured.

    Raises:
        TrainingError: If there is no such row, or a folder holds a run of another recipe.
        DatasetError: If a data set is not there.
    """
    unknown = [name for name in rows if name not in ROWS]
    if unknown:
        raise TrainingError(f"there is no row {unknown[0]!r}; there are {', '.join(ROWS)}.")
    recipe = recipe or load_recipe(_RECIPE)
    if steps is not None:
        recipe = replace(recipe, trainer=recipe.trainer | {"max_steps": steps})
    grid = plan_grid({name: _row(recipe, name) for name in rows}, seeds, output)
    data = _draw_data(output / "data") if data is None else data
    measured: dict[str, list[Measures]] = {
        name: [measure_baseline(data, name)] for name in (NOTHING, ALL_OBJECTS)
    }
    measured |= train_grid(grid, data, on_stage, feature_cache)
    reproduction = Reproduction(measured, recipe.trainer["max_steps"])
    reproduction.save(output)
    return reproduction


def measure_baseline(data: Path, name: str) -> Measures:
    """Score masks that no model made.

    Args:
        data: Folder of the data sets.
        name: `NOTHING`, or `ALL_OBJECTS`, for which clips are drawn again to know every object.

    Returns:
        Measures on all splits.
    """
    measures: Measures = {}
    for subset in _CLIPS:
        for split in STYLES:
            clips = AVSBench(data, subset, split)
            generated = find_generated(clips) if name == ALL_OBJECTS else None
            metrics = BinaryMetrics()
            for index, clip in enumerate(clips):
                marked = np.zeros(clip.masks.shape, np.float32)
                if generated is not None:
                    drawn = generated.draw(index)
                    marked = np.stack([drawn.frame(t)[1] > 0 for t in range(len(marked))])
                metrics.update(torch.from_numpy(marked).float(), torch.from_numpy(clip.masks))
            scores = asdict(metrics.compute())
            measures |= {f"{subset}_{split}_{k}": v for k, v in scores.items() if v is not None}
    return measures


def _row(recipe: Recipe, name: str) -> Recipe:
    features, adapters = ROWS[name]
    return replace(
        recipe,
        name=f"bridge_{name.replace('+', '_')}",
        model=recipe.model | {"features": features, "adapters": adapters},
        data=recipe.data
        | {"tested": [f"{subset}/{split}" for subset in _CLIPS for split in STYLES]},
        trainer=recipe.trainer | {"eval_strategy": "no"},
    )


def _draw_data(folder: Path) -> Path:
    for subset, clips in _CLIPS.items():
        write_synthavs(
            folder, DataRecipe(subset=subset, clips=clips, evaluation_clips=_EVALUATION_CLIPS)
        )
    return folder


def _measures_of(split: str) -> list[str]:
    both = [f"{subset}_{split}_{measure}" for subset in _CLIPS for measure in ("j", "f")]
    return [*both, f"ms3_{split}_silent_clean"]


def _spread(values: list[float]) -> str:
    if not values:
        return "-"
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{deviation}"


def _signed(difference: float, error: float) -> str:
    sure = f"± {error:.3f} (two standard errors)" if math.isfinite(error) else "(one seed)"
    return f"{difference:+.3f} {sure}"
