"""AV2T-SAM's Tables 1 and 2 in small (Lee, Zhang, Duan 2025, arXiv:2502.16359).

Features x adapters, single (S4) and multi source (MS3), several seeds: the bridge of the small
model on SynthAVS, all from the same frozen parts. Beside them two baselines without any model:
nothing is marked; every object is marked, sounding or not.

J is AVSBench's mIoU, F its F-score.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from avseg.reproduction.benchmark import CLIPS, STYLES
from avseg.reproduction.claims import Finding, Reproduction, gain
from avseg.training.recipe import Recipe

#: Name of a row to the features that become the prompt, and whether there are adapters.
ROWS: dict[str, tuple[str, bool]] = {
    "clip": ("clip", False),
    "clap": ("clap", False),
    "mul": ("mul", False),
    "clip+adapters": ("clip", True),
    "clap+adapters": ("clap", True),
    "mul+adapters": ("mul", True),
}

#: The paper's J in percent and F, S4 then MS3: Table 1, on SAM 2. Of Table 2 only this is stated
#: in its text (section 5.3): CLIP alone reaches a J of 86.67 on S4.
PAPER: dict[str, tuple[float, float, float, float]] = {
    "mul": (85.63, 0.920, 64.47, 0.704),
    "mul+adapters": (86.67, 0.924, 69.65, 0.777),
}

#: How far J of the picture alone may lie below, and still do what sound and picture do.
_AS_GOOD = 0.01


@dataclass(frozen=True)
class Av2tSamTables(Reproduction):
    """All that was measured."""

    paper: ClassVar[str] = "av2t-sam"
    recipe_name: ClassVar[str] = "av2t_sam_small"
    row_names: ClassVar[tuple[str, ...]] = tuple(ROWS)

    @staticmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Make the recipe of a row.

        Args:
            recipe: The bridge's.
            row: Name of the row.

        Returns:
            The recipe.
        """
        features, adapters = ROWS[row]
        return replace(
            recipe,
            name=f"bridge_{row.replace('+', '_')}",
            model=recipe.model | {"features": features, "adapters": adapters},
            data=recipe.data
            | {"tested": [f"{subset}/{split}" for subset in CLIPS for split in STYLES]},
            trainer=recipe.trainer | {"eval_strategy": "no"},
        )

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
                for subset in CLIPS:
                    j = f"{subset}_test_j"
                    best = clip if self.mean(clip, j) >= self.mean(clap, j) else clap
                    claim = f"CLIP x CLAP is the best prompt, {words} adapters, {subset}"
                    found.append(self.judge(claim, gain(mul, best, j)))
                claim = f"the picture alone does the single source, {words} adapters"
                found.append(self.judge(claim, gain(clip, mul, "s4_test_j"), _AS_GOOD))
        if {"mul", "mul+adapters"} <= self.rows.keys():
            gains = {s: gain("mul+adapters", "mul", f"{s}_test_j") for s in CLIPS}
            found += [self.judge(f"adapters help, {s}", gains[s]) for s in CLIPS]
            claim = "adapters help more with multiple sources than with a single one"
            more = [*gains["ms3"], *gain("mul", "mul+adapters", "s4_test_j")]
            found.append(self.judge(claim, more))
        return found

    def tables(self) -> list[str]:
        """Write the tables beside the paper's.

        Returns:
            Lines of Markdown.
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
                cells = self.spreads(name, _measures_of(split))
                s4_j, s4_f, ms3_j, ms3_f = PAPER.get(name, (None,) * 4)
                paper = [f"{s4_j}, {s4_f}", f"{ms3_j}, {ms3_f}"] if name in PAPER else ["-", "-"]
                lines.append(f"| {' | '.join([name, str(len(runs)), *cells, *paper])} |")
        return lines


def _measures_of(split: str) -> list[str]:
    both = [f"{subset}_{split}_{measure}" for subset in CLIPS for measure in ("j", "f")]
    return [*both, f"ms3_{split}_silent_clean"]
