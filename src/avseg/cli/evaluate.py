"""`avseg evaluate`: score a model on a data set."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators

from avseg.checkpoints import DEFAULT_MODEL
from avseg.cli.terminal import progress_bar, show_notices, show_table
from avseg.datasets.layout import Subset

if TYPE_CHECKING:
    from avseg.datasets import AVSBench
    from avseg.evaluation.prediction_files import PredictionWriter
    from avseg.segmenter import Segmenter

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
    """Score a model: with the true sound, and with other sounds for the same pictures.

    Writes report.md, report.json, clips.csv with the scores of each clip, plots, and clips.png with
    the worst and the best clips. `avseg compare` puts several reports side by side.

    Args:
        model: Name of a model (`avseg models` lists them), or the folder of a saved one.
        data: Folder of the data sets, in AVSBench's layout.
        subset: s4 (single source), ms3 (multi source) or avss (semantic).
        output: Folder for the report.
        split: Which split, such as test; SynthAVS also has test_seen and test_zero_shot.
        vocabulary: Names among which a model that names what sounds (the cascade) chooses, with
            commas between them, or a text file (.txt) with a name on each line; by default those
            the model was saved with.
        device: auto, cpu, cuda, cuda:1, mps.
        dtype: What matrix products are computed in; bfloat16 is faster where the processor has
            instructions for it, and on a GPU, and moves the masks a little.
        threshold: Probability above which a pixel is marked.
        robustness: Try silence, noise, sounds from off the screen and others in the place of each
            clip's own; five to eight times the work.
        save_predictions: Folder for the model's logits, which `avseg score` scores by any protocol
            without the model.
        offline: Download nothing: the model has to be on this machine.
    """
    show_notices([model], offline=offline)
    # These load torch and transformers; `--help` need not wait for them.
    from avseg.datasets import AVSBench
    from avseg.evaluation import evaluate as score
    from avseg.evaluation.figures.contact_sheet import draw_sheet, extreme_clips
    from avseg.evaluation.report_files import save_report
    from avseg.evaluation.tables import brief_tables, sentences_of
    from avseg.models.vocabulary import read_vocabulary
    from avseg.segmenter import load_segmenter

    names = () if vocabulary is None else read_vocabulary(vocabulary)
    segmenter = load_segmenter(model, device, dtype=dtype, offline=offline)
    segmenter = segmenter.with_vocabulary(*names)
    clips = AVSBench(data, subset, split, segmenter.processor.sample_rate)
    with (
        progress_bar(f"{len(clips)} clips of {subset}/{split}") as bar,
        _keep(save_predictions, segmenter, clips, threshold) as writer,
    ):
        report = score(segmenter, clips, threshold, robustness, writer, bar.update)
    files = save_report(report, output, draw_sheet(extreme_clips(segmenter, clips, report)))
    for table in brief_tables(report):
        show_table(table)
    for sentence in sentences_of(report):
        print(sentence)
    print(f"{output}: {', '.join(files)}")


def _keep(
    folder: Path | None, segmenter: "Segmenter", clips: "AVSBench", threshold: float
) -> "AbstractContextManager[PredictionWriter | None]":
    """Open a folder for predictions, if one is given."""
    from avseg.evaluation.prediction_files import PredictionFacts, write_predictions

    if folder is None:
        return nullcontext()
    facts = PredictionFacts(
        model=segmenter.name,
        weights_sha256=segmenter.weights_sha256,
        data=str(clips.folder),
        subset=clips.subset,
        split=clips.split,
        threshold=threshold,
    )
    return write_predictions(folder, facts)
