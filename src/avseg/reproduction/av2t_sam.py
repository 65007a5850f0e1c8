"""Tables 1 and 2 of AV2T-SAM with small models (Lee, Zhang, Duan 2025, arXiv:2502.16359).

The rows combine prompt features and adapters, on single sources (S4) and multiple sources (MS3),
with several seeds. Each run trains the projector of the small model on SynthAVS, from the same
frozen parts. Two baselines have no model: empty masks, and the masks of all visible objects,
sounding or silent.

J is AVSBench's mIoU, F its F-score.
"""

from dataclasses import dataclass, replace
from typing import ClassVar

from avseg.reproduction.benchmark import CLIPS, STYLES
from avseg.reproduction.claims import ClaimCheck, Reproduction, gain
from avseg.training.recipe import Recipe

#: Name of each row -> the features that become the prompt, and whether there are adapters.
ROWS: dict[str, tuple[str, bool]] = {
    "clip": ("clip", False),
    "clap": ("clap", False),
    "mul": ("mul", False),
    "clip+adapters": ("clip", True),
    "clap+adapters": ("clap", True),
    "mul+adapters": ("mul", True),
}

#: J in percent and F in the paper, on S4 and then MS3, from Table 1 with SAM 2. Of Table 2, the
#: text states only one figure (section 5.3): CLIP alone reaches a J of 86.67 on S4.
PAPER: dict[str, tuple[float, float, float, float]] = {
    "mul": (85.63, 0.920, 64.47, 0.704),
    "mul+adapters": (86.67, 0.924, 69.65, 0.777),
}

#: The J of image features alone may be lower by this much and still counts as equally good.
_AS_GOOD = 0.01


@dataclass(frozen=True)
class Av2tSamTables(Reproduction):
    """Measures, tables and claims of AV2T-SAM."""

    paper: ClassVar[str] = "av2t-sam"
    recipe_name: ClassVar[str] = "av2t_sam_small"
    row_names: ClassVar[tuple[str, ...]] = tuple(ROWS)

    @staticmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Return the recipe of a row.

        Args:
            recipe: Recipe of the small model.
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
            # Scores during the training are not reported, so the only evaluation is at the end.
            trainer=recipe.trainer | {"eval_strategy": "no"},
        )

    def check_claims(self) -> list[ClaimCheck]:
        """Test the claims of the paper by the J in unseen art styles.

        Returns:
            A check of each claim whose rows were trained.
        """
        checks = []
        for adapters, words in (("+adapters", "with"), ("", "without")):
            names = [f"{features}{adapters}" for features in ("clip", "clap", "mul")]
            if set(names) <= self.rows.keys():
                clip, clap, mul = names
                for subset in CLIPS:
                    j = f"{subset}_test_j"
                    # The product must score higher than the better one of its two factors.
                    best = clip if self.mean(clip, j) >= self.mean(clap, j) else clap
                    claim = f"CLIP x CLAP is the best prompt, {words} adapters, {subset}"
                    checks.append(self.check(claim, gain(mul, best, j)))
                claim = f"the picture alone does the single source, {words} adapters"
                checks.append(self.check(claim, gain(clip, mul, "s4_test_j"), _AS_GOOD))
        if {"mul", "mul+adapters"} <= self.rows.keys():
            gains = {s: gain("mul+adapters", "mul", f"{s}_test_j") for s in CLIPS}
            checks += [self.check(f"adapters help, {s}", gains[s]) for s in CLIPS]
            claim = "adapters help more with multiple sources than with a single one"
            # A difference of differences: the gain on MS3 minus the gain on S4.
            more = [*gains["ms3"], *gain("mul", "mul+adapters", "s4_test_j")]
            checks.append(self.check(claim, more))
        return checks

    def tables(self) -> list[str]:
        """Format the measures as tables, with the paper's own figures.

        Returns:
            Lines of Markdown.
        """
        lines = [f"# AV2T-SAM in small: {self.steps} steps on SynthAVS"]
        for split, words in STYLES.items():
            lines += [
                "",
                f"{words.capitalize()}, new sounds (`{split}`); mean and standard deviation over "
                "seeds. The paper's figures are of SAM 2 at full size on AVSBench, so only the "
                "signs of differences can be compared.",
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
