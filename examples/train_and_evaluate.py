"""Train a model for a few steps on synthetic clips and evaluate it, before and after.

python examples/train_and_evaluate.py

The clips are drawn: a tiny SynthAVS, in the layout of AVSBench's MS3. The recipe is av2t_sam_small
with four steps, from the weights of the packaged model. With so few steps and clips the scores say
nothing about the method.
"""

from pathlib import Path

import avseg
from avseg.checkpoints import find_checkpoint

OUTPUT = Path("train_and_evaluate_output")
DATA, RUN = OUTPUT / "data", OUTPUT / "run"
START = find_checkpoint("av2t-sam-small").folder


def main() -> None:
    """Draw the clips, train, evaluate both models and print their scores."""
    avseg.synthesize_data(DATA, subset="ms3", clips=8, evaluation_clips=4)
    changes = [
        f"start_from.model={START}",
        "data.train=[ms3/train]",
        "data.measured=[ms3/val]",
        "trainer.max_steps=4",
        "trainer.per_device_train_batch_size=8",
    ]
    avseg.train("av2t_sam_small", output=RUN, data=DATA, changes=changes, feature_cache="none")
    split = avseg.AVSBench(DATA, subset="ms3", split="test")
    for name, folder in (("before", START), ("after", RUN)):
        report = avseg.evaluate(avseg.load_segmenter(folder), split, robustness=False)
        print(name, {measure: round(score.value, 3) for measure, score in report.scores.items()})


if __name__ == "__main__":
    main()
