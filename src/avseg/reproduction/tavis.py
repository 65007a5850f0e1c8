"""TAViS's ablations and its zero-shot table in small (Luo et al., ICCV 2025, arXiv:2506.11436).

Rows of the ablations: the whole model, and what is left out of it. Each is the small model, trained
on frames of single (S4) and several sources (MS3) of SynthAVS by themselves, as the model in the
package is, several seeds, all from the same frozen parts.

The zero-shot table: SynthAVS has categories that no training clip holds. The row "zero-shot" does
not choose among their names in training either, as a whole vocabulary would teach it that nothing
ever has them. Measured is with all names.

J is AVSBench's mIoU, F its F-score; the class mIoU is that of the pixels of all clips together,
mean over the classes that occur but for the background.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from avseg.reproduction.benchmark import CLIPS, STYLES
from avseg.reproduction.claims import Finding, Reproduction, gain
from avseg.synthavs.categories import CATEGORIES, SEEN
from avseg.training.recipe import Recipe

#: Name of a row of the ablations to its name in the paper, and options of the model.
ABLATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "full": ("TAViS", {}),
    "no-ibqd": ("w/o IBQD", {"decomposition": False}),
    "no-tbas": (
        "w/o TbAS (alignment losses)",
        {"losses": {"a2t_weight": 0.0, "i2t_weight": 0.0, "a2pt_weight": 0.0}},
    ),
    "no-tbhp": ("w/o TbHP (hybrid prompts)", {"pseudo_text": False, "dense_prompt": False}),
    "no-a2t": ("w/o L_a2t", {"losses": {"a2t_weight": 0.0}}),
    "no-i2t": ("w/o L_i2t", {"losses": {"i2t_weight": 0.0}}),
}

#: The row that learns without the names of unseen categories.
ZERO_SHOT = "zero-shot"

ROWS: tuple[str, ...] = (*ABLATIONS, ZERO_SHOT)

#: The paper's J in percent, S4 then MS3, of its ablations at 224 pixels. From a note by others on
#: the paper (zhaoyang97/Paper-Notes-en), not from the paper itself.
PAPER: dict[str, tuple[float, float]] = {
    "full": (84.8, 68.2),
    "no-ibqd": (79.6, 58.5),
    "no-tbas": (83.6, 64.9),
    "no-tbhp": (83.9, 65.1),
    "no-a2t": (83.8, 65.2),
    "no-i2t": (84.0, 64.4),
}

#: The same of its zero-shot table: mean IoU over classes, each by frame, in percent.
PAPER_ZERO_SHOT: dict[str, float] = {"TAViS": 28.21, "OV-AVSS": 22.20}

_SECONDARY = (
    "The paper's figures are those that a note by others on it gives (zhaoyang97/Paper-Notes-en), "
    "not read in the paper itself"
)

#: Splits whose clips are of categories seen in training, and of others, in the same art styles.
_SEEN, _UNSEEN = "test_seen", "test_zero_shot"

#: Rows whose runs are measured on unseen categories.
_ZERO_SHOT_ROWS: dict[str, str] = {
    "full": "TAViS, choosing among all names in training (`full`)",
    ZERO_SHOT: f"TAViS, choosing among the names of seen categories (`{ZERO_SHOT}`)",
}

#: Steps between checkpoints, so that little is lost when a run is stopped.
_SAVE_STEPS = 50


@dataclass(frozen=True)
class TavisTables(Reproduction):
    """All that was measured."""

    paper: ClassVar[str] = "tavis"
    recipe_name: ClassVar[str] = "tavis_small_frames"
    row_names: ClassVar[tuple[str, ...]] = ROWS

    @staticmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Make the recipe of a row.

        Args:
            recipe: The small model's.
            row: Name of the row.

        Returns:
            The recipe.
        """
        tested = [f"{subset}/{_SEEN}" for subset in CLIPS]
        options: dict[str, Any] = {}
        if row in ABLATIONS:
            options = ABLATIONS[row][1]
            tested = [f"{subset}/{split}" for subset in CLIPS for split in STYLES]
        if row in _ZERO_SHOT_ROWS:
            both = [(f"{subset}/{_UNSEEN}", _joined(subset)) for subset in CLIPS]
            tested += [name for names in both for name in names]
        names: dict[str, Any] = {"seen": list(SEEN)} if row in _ZERO_SHOT_ROWS else {}
        if row == ZERO_SHOT:
            names = {"classes": list(SEEN)}
        return replace(
            recipe,
            name=f"tavis_{row.replace('-', '_')}",
            model=recipe.model | options,
            data=recipe.data | names | {"measured": [], "tested": tested},
            trainer=recipe.trainer
            | {"eval_strategy": "no", "save_strategy": "steps", "save_steps": _SAVE_STEPS},
        )

    def findings(self) -> list[Finding]:
        """Compare with what the paper says, by J in unseen art styles.

        Returns:
            A finding for each of the paper's claims that the rows allow to judge.
        """
        return [*self._find_gains(), *self._find_the_largest(), *self._compare_losses()]

    def tables(self) -> list[str]:
        """Write the tables beside the paper's.

        Returns:
            Lines of Markdown.
        """
        lines = [f"# TAViS in small: {self.steps} steps on frames of SynthAVS"]
        for split, words in STYLES.items():
            lines += [
                "",
                f"{words.capitalize()}, unheard sounds (`{split}`); mean and standard deviation "
                f"over seeds. Paper: full size on AVSBench, another world. {_SECONDARY}.",
                "",
                "| | seeds | S4 J | S4 F | S4 class mIoU | MS3 J | MS3 F | MS3 class mIoU "
                "| paper S4 J | paper MS3 J |",
                "| --- |" + " --- |" * 9,
            ]
            for row in [row for row in self.rows if row != ZERO_SHOT]:
                measures = [f"{s}_{split}_{name}" for s in CLIPS for name in ("j", "f", "miou")]
                title = f"{ABLATIONS[row][0]} (`{row}`)" if row in ABLATIONS else row
                paper = [str(figure) for figure in PAPER.get(row, ("-", "-"))]
                cells = [title, str(len(self.rows[row])), *self.spreads(row, measures), *paper]
                lines.append(f"| {' | '.join(cells)} |")
        return [*lines, *self._zero_shot_table()]

    def _find_gains(self) -> list[Finding]:
        """Judge what each part is good for."""
        parts = {
            "no-ibqd": "IBQD helps",
            "no-tbas": "alignment supervision helps",
            "no-tbhp": "hybrid prompting helps",
            "no-a2t": "L_a2t helps",
            "no-i2t": "L_i2t helps",
        }
        found = []
        for row, claim in parts.items():
            if {"full", row} <= self.rows.keys():
                gains = {s: gain("full", row, f"{s}_test_j") for s in CLIPS}
                found += [self.judge(f"{claim}, {s}", gains[s]) for s in CLIPS]
                more = [*gains["ms3"], *gain(row, "full", "s4_test_j")]
                found.append(self.judge(f"{claim} more with multiple sources", more))
        return found

    def _find_the_largest(self) -> list[Finding]:
        """Judge whether nothing costs as much as leaving the decomposition out."""
        if not {"no-ibqd", "no-tbas", "no-tbhp"} <= self.rows.keys():
            return []
        found = []
        for subset in CLIPS:
            j = f"{subset}_test_j"
            tbas_is_worse = self.mean("no-tbas", j) <= self.mean("no-tbhp", j)
            worst = "no-tbas" if tbas_is_worse else "no-tbhp"
            claim = f"of the three parts IBQD helps most, {subset}"
            found.append(self.judge(claim, gain(worst, "no-ibqd", j)))
        return found

    def _compare_losses(self) -> list[Finding]:
        """Judge which of the alignment losses is worth more; the paper has one order in each."""
        if not {"no-a2t", "no-i2t"} <= self.rows.keys():
            return []
        return [
            self.judge("L_a2t is worth more than L_i2t, s4", gain("no-i2t", "no-a2t", "s4_test_j")),
            self.judge(
                "L_i2t is worth more than L_a2t, ms3", gain("no-a2t", "no-i2t", "ms3_test_j")
            ),
        ]

    def _zero_shot_table(self) -> list[str]:
        """Write what is named, and marked, of categories that no training clip holds."""
        rows = [row for row in _ZERO_SHOT_ROWS if row in self.rows]
        if not rows:
            return []
        theirs = ", ".join(f"{name} {figure:.2f}" for name, figure in PAPER_ZERO_SHOT.items())
        lines = [
            "",
            f"Categories that no training clip holds (`{_UNSEEN}`), beside those of training "
            f"(`{_SEEN}`), in seen art styles; class mIoU over the clips of both, with all "
            f"{len(CATEGORIES)} names to choose from, of which {len(SEEN)} are seen. What "
            "TAViS starts from was pre-trained on pictures, sounds and words of all of them, as "
            "ImageBind and SAM 2 at full size have seen the world; no clip that TAViS itself was "
            "trained on holds an unseen category. Paper: "
            f"{theirs} (percent, mean IoU over the 70 classes of AVSBench-OV, frame by frame): "
            f"another world and another mean. {_SECONDARY}.",
            "",
            "| | data | seeds | class mIoU seen | unseen | harmonic mean | J seen | F seen "
            "| J unseen | F unseen |",
            "| --- |" + " --- |" * 9,
        ]
        for row in rows:
            for subset in CLIPS:
                both = _joined(subset).replace("/", "_")
                measures = [f"{both}_miou_{kind}" for kind in ("seen", "unseen", "harmonic")]
                measures += [f"{subset}_{s}_{m}" for s in (_SEEN, _UNSEEN) for m in ("j", "f")]
                cells = [_ZERO_SHOT_ROWS[row], subset, str(len(self.rows[row]))]
                lines.append(f"| {' | '.join([*cells, *self.spreads(row, measures)])} |")
        return lines


def _joined(subset: str) -> str:
    """Name the clips of seen and unseen categories together, as a recipe does."""
    return f"{subset}/{_SEEN}+{subset}/{_UNSEEN}"
