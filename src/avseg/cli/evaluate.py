"""`avseg evaluate`: score a model on a data set."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter, validators

from avseg.checkpoints import DEFAULT_MODEL
from avseg.cli.terminal import progress_bar, show_notices, show_table
from avseg.datasets.layout import Subset

Threshold = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]


def evaluate(  # noqa: PLR0913 - one argument for each option of the command
    model: str = DEFAULT_MODEL,
    *,
    data: Path,
    subset: Subset,
    output: Annotated[Path, Parameter(alias="-o")],
    split: str = "test",
    vocabulary: str | None = None,
    device: str = "auto",
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    threshold: Threshold = 0.5,
    robustness: bool = True,
    save_predictions: Path | None = None,
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Evaluate a model on a data set by all published protocols, and test if it uses the audio.

    Writes report.md, report.json, clips.csv with the scores of each clip, plots, and clips.png with
    the worst and the best clips. To compare several reports, use `avseg compare`.

    Args:
        model: Name of a model (`avseg models` lists them), or the folder of a saved one.
        data: Folder of the data sets, in AVSBench's layout.
        subset: s4 (single source), ms3 (multiple sources), avss (semantic), its components v1s, v1m
            and v2, v3 (AVS-V3), or s4 and ms3 with the negative audio of AVSBench-Robust.
        output: Folder for the report.
        split: Name of the split, such as test; SynthAVS also has test_seen and test_zero_shot.
        vocabulary: Names among which a model that names sounding objects (the cascade, TAViS)
            chooses: names separated by commas, a text file (.txt) with one name per line, or
            audioset or avsbench for the classes of that data set; by default the vocabulary saved
            with the model.
        device: Device for the model: auto, cpu, cuda, cuda:1 or mps.
        dtype: Dtype of matrix products; bfloat16 is faster on a GPU and on processors that support
            it, and changes the masks a little.
        threshold: Probability above which a pixel is marked.
        robustness: Segment each clip also with its audio replaced by silence, noise, off-screen
            sound and others; takes five to eight times as long.
        save_predictions: Folder for the model's logits, from which `avseg score` computes scores
            without the model.
        offline: Download nothing: the model must be on this machine.
    """
    # Before torch is imported, which takes seconds: a wrong name fails at once.
    show_notices([model], offline=offline)
    from avseg.evaluation.evaluate import evaluate as evaluate_model  # loads torch
    from avseg.evaluation.tables import brief_tables, summary_sentences

    with progress_bar(f"{subset}/{split}") as bar:
        report = evaluate_model(
            model,
            data,
            subset=subset,
            split=split,
            output=output,
            vocabulary=vocabulary,
            device=device,
            dtype=dtype,
            threshold=threshold,
            robustness=robustness,
            save_predictions=save_predictions,
            offline=offline,
            on_clip=bar.update,
        )
    # The terminal gets the main scores; report.md has all tables.
    for table in brief_tables(report):
        show_table(table)
    for sentence in summary_sentences(report):
        print(sentence)
    print(f"{output}: report.md, report.json, clips.csv and pictures")
