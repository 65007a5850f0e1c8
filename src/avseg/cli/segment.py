"""`avseg segment`: mark the sounding objects of videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from avseg.checkpoints import DEFAULT_MODEL, find_checkpoint
from avseg.errors import AvsegError
from avseg.export.result_folders import result_folders
from avseg.media.video_files import find_videos

if TYPE_CHECKING:
    from avseg.segmenter import FolderResult

Threshold = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]
Rate = Annotated[float, Parameter(validator=validators.Number(gt=0))]


def segment(  # noqa: PLR0913 - one argument for each option of the command
    video: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    model: str = DEFAULT_MODEL,
    text: Annotated[Sequence[str], Parameter(negative="")] = (),
    vocabulary: str | None = None,
    device: str = "auto",
    memory: Literal["normal", "low"] = "normal",
    image_size: int | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    threshold: Threshold = 0.5,
    frames_per_second: Rate | None = None,
    overlay: bool = True,
    silent_ok: Annotated[bool, Parameter(negative="")] = False,
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Mark the sounding objects of videos, or what texts name: overlay video, masks, figures.

    Each video gets a folder, OUTPUT/NAME, with overlay.mp4, masks/000000.png ... and result.json;
    it appears when it is complete. Videos that were segmented before with the same options are
    passed over. Digital silence marks nothing, unless texts say what to mark.

    Args:
        video: Video files, and folders with video files in them.
        output: Folder for the results.
        model: Name of a model (`avseg models` lists them), or the folder of a saved one.
        text: What to mark, for a model that is prompted by texts (EVF-SAM), such as "the dog on the
            left"; may be given several times, each text is a source of its own. Sound plays no
            part.
        vocabulary: Names among which a model that names what sounds (the cascade, TAViS) chooses,
            with commas between them, or a text file (.txt) with a name on each line; by default
            those the model was saved with.
        device: auto, cpu, cuda, cuda:1, mps.
        memory: "low" reads weights from disk as they are needed, for a model larger than memory;
            the masks are the same. On the CPU only.
        image_size: Side of the pictures that SAM 2 sees, in pixels, a multiple of 32; less than the
            model's own is faster, and moves the masks.
        dtype: What matrix products are computed in; bfloat16 is faster where the processor has
            instructions for it, and on a GPU, and moves the masks a little.
        threshold: Probability above which a pixel is marked.
        frames_per_second: Frames to segment per second; by default every frame of the video.
        overlay: Write the overlay video.
        silent_ok: Take a video without a sound track for a silent one.
        offline: Download nothing: the model has to be on this machine.

    Returns:
        0 if all went well, 1 if a video could not be segmented.
    """
    videos = find_videos(video)
    folders = result_folders(videos, output)
    checkpoint = find_checkpoint(model, offline=offline)
    console = Console(stderr=True)
    if checkpoint.notice is not None:
        console.print(Text(checkpoint.notice, "yellow"), soft_wrap=True)

    from avseg.models.vocabulary import read_vocabulary
    from avseg.segmenter import SegmentOptions, load_segmenter, segment_to_folder  # loads torch

    names = () if vocabulary is None else read_vocabulary(vocabulary)
    segmenter = load_segmenter(model, device, memory, image_size, dtype, offline=offline)
    segmenter = segmenter.with_texts(*text).with_vocabulary(*names)
    options = SegmentOptions(frames_per_second, threshold, silent_ok, overlay)
    outcomes: list[FolderResult | AvsegError] = []
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        for number, (path, folder) in enumerate(zip(videos, folders, strict=True), start=1):
            task = progress.add_task(f"{number}/{len(videos)} {path.name}", total=1.0)

            def show(share: float, task: TaskID = task) -> None:
                progress.update(task, completed=share)

            try:
                outcomes.append(segment_to_folder(segmenter, path, folder, options, show))
            except AvsegError as error:
                outcomes.append(error)
                console.print(
                    Text.assemble(("error: ", "bold red"), (str(error), "red")), soft_wrap=True
                )
            progress.remove_task(task)
    Console().print(_summary(folders, outcomes), Text(f"Results are in {output}."))
    return int(any(isinstance(outcome, AvsegError) for outcome in outcomes))


def _summary(folders: list[Path], outcomes: "list[FolderResult | AvsegError]") -> Table:
    """Put what became of each video into a row."""
    columns = (Column("result", overflow="fold"), "frames", "marked", "area", "score")
    named = any(
        outcome.summary.sources is not None
        for outcome in outcomes
        if not isinstance(outcome, AvsegError)
    )
    table = Table(*columns, *["sources"] * named, "what happened")
    for folder, outcome in zip(folders, outcomes, strict=True):
        if isinstance(outcome, AvsegError):
            empty = [""] * (len(table.columns) - 2)
            table.add_row(Text(folder.name), *empty, Text(type(outcome).__name__, "red"))
            continue
        summary = outcome.summary
        table.add_row(
            Text(folder.name),
            str(summary.frame_count),
            f"{summary.sounding_s:.1f} of {summary.duration_s:.1f} s",
            f"{summary.area:.1%}",
            f"{summary.score:.2f}",
            *[_names(summary.sources)] * named,
            "was there" if outcome.was_there else "written",
        )
    return table


def _names(sources: dict[str, float] | None) -> Text:
    """List what is marked and for how long, the longest first."""
    longest_first = sorted((sources or {}).items(), key=lambda item: -item[1])
    return Text(", ".join(f"{name} {seconds:.1f} s" for name, seconds in longest_first))
