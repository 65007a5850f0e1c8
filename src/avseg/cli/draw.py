"""`avseg draw`: pictures of what models do on a data set."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from avseg.atomic import replace_when_complete
from avseg.checkpoints import DEFAULT_MODEL
from avseg.cli.terminal import progress_bar, show_notices
from avseg.datasets.layout import Subset
from avseg.errors import OutputError

Count = Annotated[int, Parameter(validator=validators.Number(gte=1))]
Threshold = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]
PictureFile = Annotated[Path, Parameter(alias="-o", validator=validators.Path(ext="png"))]


def comparison(  # noqa: PLR0913 - one argument for each option of the command
    model: Annotated[list[str], Parameter(negative="")],
    /,
    *,
    data: Path,
    subset: Subset,
    output: PictureFile,
    split: str = "test",
    clips: Count = 4,
    clip: Annotated[list[str] | None, Parameter(negative="")] = None,
    threshold: Threshold = 0.5,
    by_name: Annotated[bool, Parameter(negative="")] = False,
    device: str = "auto",
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw a few clips: sound, frames, truth, and the masks of each model.

    Unless clips are named, all models segment the whole split, and those clips are drawn on which
    the models' J differ most; a single model gets the first clips.

    Args:
        model: Names of models (`avseg models` lists them), or folders of saved ones.
        data: Folder of the data sets, in AVSBench's layout.
        subset: s4 (single source), ms3 (multi source) or avss (semantic).
        output: The PNG file.
        split: Which split, such as test; SynthAVS also has test_seen and test_zero_shot.
        clips: How many clips.
        clip: Name of a clip to draw, once for each, in the place of those that differ most.
        threshold: Probability above which a pixel is marked.
        by_name: Draw too which class each pixel has, in truth and as the models say that tell
            classes. AVSS and AVS-V3 know it, and SynthAVS.
        device: auto, cpu, cuda, cuda:1, mps.
        offline: Download nothing: the models have to be on this machine.
    """
    # These load torch and transformers; `--help` need not wait for them.
    from avseg.datasets import AVSBench
    from avseg.evaluation.figures.comparison_sheet import (
        MarkedClip,
        draw_gallery,
        find_clips,
        gather_clips,
        mark_clips,
        most_different,
    )
    from avseg.segmenter import load_segmenter
    from avseg.synthavs.classes import SemanticSplit

    show_notices(model, offline=offline)
    shown = AVSBench(data, subset, split)
    classed = SemanticSplit.open(shown) if by_name else None
    class_names = None if classed is None else classed.names
    if clip:
        indices = find_clips(shown, clip)
    else:
        indices = list(range(len(shown) if len(model) > 1 else min(clips, len(shown))))
    marked: dict[str, list[MarkedClip]] = {}
    for name in model:  # one after another: several large models at once may not fit into memory
        segmenter = load_segmenter(name, device, offline=offline)
        listened = AVSBench(data, subset, split, segmenter.processor.sample_rate)
        label = name if segmenter.name in marked else segmenter.name
        with progress_bar(f"{label}, {len(indices)} clips") as bar:
            marked[label] = mark_clips(
                segmenter, listened, indices, threshold, class_names, bar.update
            )
    places = list(range(len(indices)))
    if not clip:
        places = most_different([[m.j for m in each] for each in marked.values()], clips)
    chosen = {name: [each[place] for place in places] for name, each in marked.items()}
    drawn = gather_clips(shown, [indices[place] for place in places], chosen, classed)
    by_rule = not clip and len(model) > 1
    rule = f", those of {len(shown)} on which J differs most" if by_rule else ""
    title = f"{subset}/{split}: {len(drawn)} clips{rule}"
    _write(output, draw_gallery(drawn, title).save)


def embeddings(  # noqa: PLR0913 - one argument for each option of the command
    model: str = DEFAULT_MODEL,
    *,
    data: Path,
    output: PictureFile,
    subset: Subset = "s4",
    split: str = "test",
    clips: Count = 400,
    categories: Annotated[int, Parameter(validator=validators.Number(gte=2, lte=20))] = 10,
    device: str = "auto",
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> None:
    """Draw where a model places sounds and pictures, by t-SNE, before and after its bridge to text.

    There is a point for one second of each clip in which a single category sounds. The figure above
    a map says how often the nearest point has the same category. Needs `pip install "avseg[draw]"`.

    Args:
        model: Name of a model (`avseg models` lists them), or the folder of a saved one; of the
            family avseg-av2t-sam or avseg-tavis.
        data: Folder of the data sets, in AVSBench's layout.
        output: The PNG file.
        subset: s4 (single source), or another whose categories are known.
        split: Which split, such as test; SynthAVS also has test_seen and test_zero_shot.
        clips: Most clips that are drawn; of more, they are taken in even steps.
        categories: Most categories that are drawn, up to 20; of more, the most frequent ones.
        device: auto, cpu, cuda, cuda:1, mps.
        offline: Download nothing: the model has to be on this machine.
    """
    # These load torch and transformers; `--help` need not wait for them.
    from avseg.datasets import AVSBench
    from avseg.evaluation.figures.embeddings import (
        draw_embeddings,
        embed_clips,
        require_scikit_learn,
    )
    from avseg.evaluation.figures.plots import DPI
    from avseg.segmenter import load_segmenter

    require_scikit_learn()  # better known now than after the work
    show_notices([model], offline=offline)
    segmenter = load_segmenter(model, device, offline=offline)
    listened = AVSBench(data, subset, split, segmenter.processor.sample_rate)
    with progress_bar(f"{segmenter.name}, {subset}/{split}") as bar:
        embedded = embed_clips(segmenter, listened, clips, categories, bar.update)
    _write(output, partial(draw_embeddings(embedded).savefig, dpi=DPI))


def _write(output: Path, save: Callable[[Path], object]) -> None:
    try:
        with replace_when_complete(output) as path:
            save(path)
    except OSError as error:
        raise OutputError(
            f"{output}: the picture cannot be written ({error.strerror}); name another file."
        ) from error
    print(f"{output}: written")
