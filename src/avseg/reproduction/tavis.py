"""Ablations and zero-shot table of TAViS with small models (Luo et al., arXiv:2506.11436).

The rows of the ablations are the full model, and the model without one of its components. Each is
the small model, trained like the packaged one on single frames of SynthAVS with single sources (S4)
and multiple sources (MS3), with several seeds, from the same frozen parts.

For the zero-shot table, SynthAVS has categories that no training clip contains. In the training of
the row "zero-shot", the names of these categories are not in the vocabulary: otherwise the model
would learn that they never occur. All rows are evaluated with all names.

J is AVSBench's mIoU, F its F-score. The class mIoU is computed over the pixels of all clips
together, as the mean over the classes that occur, without the background.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

from avseg.reproduction.benchmark import CLIPS, STYLES
from avseg.reproduction.claims import ClaimCheck, Reproduction, gain
from avseg.synthavs.categories import CATEGORIES, SEEN
from avseg.training.recipe import Recipe

#: Name of each row of the ablations -> its name in the paper, and options of the model.
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

#: Name of the row that is trained without the names of unseen categories.
ZERO_SHOT = "zero-shot"

ROWS: tuple[str, ...] = (*ABLATIONS, ZERO_SHOT)

#: J in percent in the paper's ablations at 224 pixels, on S4 and then MS3. The figures are from
#: notes on the paper by another author (zhaoyang97/Paper-Notes-en), not from the paper itself.
PAPER: dict[str, tuple[float, float]] = {
    "full": (84.8, 68.2),
    "no-ibqd": (79.6, 58.5),
    "no-tbas": (83.6, 64.9),
    "no-tbhp": (83.9, 65.1),
    "no-a2t": (83.8, 65.2),
    "no-i2t": (84.0, 64.4),
}

#: Figures of the zero-shot table from the same notes: class mIoU, frame by frame, in percent.
PAPER_ZERO_SHOT: dict[str, float] = {"TAViS": 28.21, "OV-AVSS": 22.20}

_SECONDARY = (
    "The paper's figures are from a note by others (zhaoyang97/Paper-Notes-en), not from the paper "
    "itself"
)

#: Splits with categories seen in training, and with unseen ones, both in seen art styles.
_SEEN, _UNSEEN = "test_seen", "test_zero_shot"

#: Rows that are evaluated on unseen categories -> their titles.
_ZERO_SHOT_ROWS: dict[str, str] = {
    "full": "TAViS, choosing among all names in training (`full`)",
    ZERO_SHOT: f"TAViS, choosing among the names of seen categories (`{ZERO_SHOT}`)",
}

#: Steps between checkpoints: an interrupted run loses at most this many.
_SAVE_STEPS = 50


@dataclass(frozen=True)
class TavisTables(Reproduction):
    """Measures, tables and claims of TAViS."""

    paper: ClassVar[str] = "tavis"
    recipe_name: ClassVar[str] = "tavis_small_frames"
    row_names: ClassVar[tuple[str, ...]] = ROWS

    @staticmethod
    def vary(recipe: Recipe, row: str) -> Recipe:
        """Return the recipe of a row.

        Args:
            recipe: Recipe of the small model.
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
            # Unseen categories alone for J and F; with the seen ones for the class mIoU and its
            # harmonic mean.
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

    def check_claims(self) -> list[ClaimCheck]:
        """Test the claims of the paper by the J in unseen art styles.

        Returns:
            A check of each claim whose rows were trained.
        """
        return [*self._check_gains(), *self._check_largest_gain(), *self._check_losses()]

    def tables(self) -> list[str]:
        """Format the measures as tables, with the paper's own figures.

        Returns:
            Lines of Markdown.
        """
        lines = [f"# TAViS in small: {self.steps} steps on frames of SynthAVS"]
        for split, words in STYLES.items():
            lines += [
                "",
                f"{words.capitalize()}, new sounds (`{split}`); mean and standard deviation over "
                "seeds. The paper's figures are of full-size models on AVSBench, so only the signs "
                f"of differences can be compared. {_SECONDARY}.",
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

    def _check_gains(self) -> list[ClaimCheck]:
        """Test whether each component improves J, and improves it more with multiple sources."""
        components = {
            "no-ibqd": "IBQD helps",
            "no-tbas": "alignment supervision helps",
            "no-tbhp": "hybrid prompting helps",
            "no-a2t": "L_a2t helps",
            "no-i2t": "L_i2t helps",
        }
        checks = []
        for row, claim in components.items():
            if {"full", row} <= self.rows.keys():
                gains = {s: gain("full", row, f"{s}_test_j") for s in CLIPS}
                checks += [self.check(f"{claim}, {s}", gains[s]) for s in CLIPS]
                # A difference of differences: the gain on MS3 minus the gain on S4.
                more = [*gains["ms3"], *gain(row, "full", "s4_test_j")]
                checks.append(self.check(f"{claim} more with multiple sources", more))
        return checks

    def _check_largest_gain(self) -> list[ClaimCheck]:
        """Test whether the model without the decomposition (IBQD) is the worst."""
        if not {"no-ibqd", "no-tbas", "no-tbhp"} <= self.rows.keys():
            return []
        checks = []
        for subset in CLIPS:
            j = f"{subset}_test_j"
            # IBQD helps most if its removal lowers J more than any other removal.
            tbas_is_worse = self.mean("no-tbas", j) <= self.mean("no-tbhp", j)
            worst = "no-tbas" if tbas_is_worse else "no-tbhp"
            claim = f"of the three parts IBQD helps most, {subset}"
            checks.append(self.check(claim, gain(worst, "no-ibqd", j)))
        return checks

    def _check_losses(self) -> list[ClaimCheck]:
        """Test which alignment loss helps more; the paper has opposite orders on S4 and MS3."""
        if not {"no-a2t", "no-i2t"} <= self.rows.keys():
            return []
        return [
            self.check("L_a2t is worth more than L_i2t, s4", gain("no-i2t", "no-a2t", "s4_test_j")),
            self.check(
                "L_i2t is worth more than L_a2t, ms3", gain("no-a2t", "no-i2t", "ms3_test_j")
            ),
        ]

    def _zero_shot_table(self) -> list[str]:
        """Format the measures on categories that no training clip contains."""
        rows = [row for row in _ZERO_SHOT_ROWS if row in self.rows]
        if not rows:
            return []
        theirs = ", ".join(f"{name} {figure:.2f}" for name, figure in PAPER_ZERO_SHOT.items())
        lines = [
            "",
            f"Categories that no training clip contains (`{_UNSEEN}`), and those of training "
            f"(`{_SEEN}`), in seen art styles; class mIoU over the clips of both, with all "
            f"{len(CATEGORIES)} names in the vocabulary, {len(SEEN)} of them seen. The pretrained "
            "parts of TAViS were trained on pictures, sounds and words of all categories, as "
            "ImageBind and SAM 2 at full size were; no clip in the training of TAViS itself "
            f"contains an unseen category. Paper: {theirs} (percent, mean IoU over the 70 classes "
            "of AVSBench-OV, frame by frame), which is another data set and another mean. "
            f"{_SECONDARY}.",
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
    """Return the name in a recipe for the clips of seen and unseen categories together."""
    return f"{subset}/{_SEEN}+{subset}/{_UNSEEN}"
