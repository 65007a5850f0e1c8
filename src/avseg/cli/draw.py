"""`avseg draw`: pictures of what models predict on a data set."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter, validators

from avseg.checkpoints import DEFAULT_MODEL
from avseg.cli.terminal import progress_bar, show_notices
from avseg.datasets.layout import Subset

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
    """Draw a few clips: audio, frames, ground truth, and the masks of each model.

    Without --clip, all models segment the whole split, and the clips on which their J differs most
    are drawn. For a single model, the first clips are drawn.

    Args:
        model: Names of models (`avseg models` lists them), or folders of saved ones.
        data: Folder of the data sets, in AVSBench's layout.
        subset: s4 (single source), ms3 (multiple sources), avss (semantic), its components v1s, v1m
            and v2, v3 (AVS-V3), or s4 and ms3 with the negative audio of AVSBench-Robust.
        output: The PNG file.
        split: Name of the split, such as test; SynthAVS also has test_seen and test_zero_shot.
        clips: Number of clips.
        clip: Name of a clip to draw instead of those with the largest differences; may be repeated.
        threshold: Probability above which a pixel is marked.
        by_name: Also draw the class maps of the ground truth and of the models that predict
            classes. For AVSS, AVS-V3 and SynthAVS.
        device: Device for the model: auto, cpu, cuda, cuda:1 or mps.
        offline: Download nothing: the models must be on this machine.
    """
    # Before torch is imported, which takes seconds: a wrong name fails at once.
    show_notices(model, offline=offline)
    from avseg.evaluation.figures.comparison_sheet import draw_comparison  # loads torch

    with progress_bar(f"{', '.join(model)} on {subset}/{split}") as bar:
        draw_comparison(
            model,
            data,
            subset=subset,
            split=split,
            output=output,
            clips=clips,
            clip=clip or (),
            threshold=threshold,
            by_name=by_name,
            device=device,
            offline=offline,
            on_clip=bar.update,
        )
    print(f"{output}: written")


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
    """Draw a t-SNE map of a model's audio and image embeddings, before and after its projector.

    Each point is one second of a clip with a single sounding category. The percentage above a map
    is the share of points whose nearest point has the same category. Needs `pip install
    "avseg[draw]"`.

    Args:
        model: Name of a model (`avseg models` lists them), or the folder of a saved one; of the
            family avseg-av2t-sam, avseg-av2t-sam3 or avseg-tavis.
        data: Folder of the data sets, in AVSBench's layout.
        output: The PNG file.
        subset: s4 (single source), or another subset whose categories are known.
        split: Name of the split, such as test; SynthAVS also has test_seen and test_zero_shot.
        clips: Largest number of clips; a larger split is sampled at regular steps.
        categories: Number of categories, at most 20; the most frequent ones are drawn.
        device: Device for the model: auto, cpu, cuda, cuda:1 or mps.
        offline: Download nothing: the model must be on this machine.
    """
    # Before torch is imported, which takes seconds: a wrong name fails at once.
    show_notices([model], offline=offline)
    from avseg.evaluation.figures.embeddings import draw_embeddings  # loads torch

    with progress_bar(f"{model} on {subset}/{split}") as bar:
        draw_embeddings(
            model,
            data,
            subset=subset,
            split=split,
            output=output,
            clips=clips,
            categories=categories,
            device=device,
            offline=offline,
            on_clip=bar.update,
        )
    print(f"{output}: written")
