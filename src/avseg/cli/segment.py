"""`avseg segment`: mark the sounding objects of videos."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

from cyclopts import Parameter, Token, validators
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import avseg
from avseg.batch.supervisor import STALL_LIMIT_S
from avseg.checkpoints.user_default import default_model
from avseg.cli.terminal import progress_bar, show_error, show_notices
from avseg.media.track_choice import check_option
from avseg.media.video_files import find_videos
from avseg.types import AudioTrackOption

if TYPE_CHECKING:
    from avseg.batch import BatchProgress, VideoOutcome

Threshold = Annotated[float, Parameter(validator=validators.Number(gt=0, lt=1))]
Rate = Annotated[float, Parameter(validator=validators.Number(gt=0))]
Seconds = Annotated[float, Parameter(validator=validators.Number(gt=0))]


def _parse_audio_track(_: type, tokens: Sequence[Token]) -> AudioTrackOption:
    """Convert the value of `--audio-track`; ValueError, which cyclopts prints, if it is invalid."""
    text = tokens[0].value
    # Anything that is no number is validated, and named in the message, as the text that it is.
    option = cast("AudioTrackOption", int(text) if text.lstrip("-").isdecimal() else text)
    check_option(option)
    return option


AudioTrack = Annotated[AudioTrackOption, Parameter(converter=_parse_audio_track)]


def segment(  # noqa: PLR0913 - one argument for each option of the command
    video: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    output: Annotated[Path, Parameter(alias="-o")],
    model: Annotated[str | None, Parameter(show_default=False)] = None,
    text: Annotated[Sequence[str], Parameter(negative="", show_default=False)] = (),
    vocabulary: str | None = None,
    device: str = "auto",
    memory: Literal["normal", "low"] = "normal",
    image_size: int | None = None,
    dtype: Literal["float32", "bfloat16", "float16"] = "float32",
    threshold: Threshold = 0.5,
    frames_per_second: Rate | None = None,
    overlay: bool = True,
    audio_track: AudioTrack = "auto",
    silent_ok: Annotated[bool, Parameter(negative="")] = False,
    offline: Annotated[bool, Parameter(negative="")] = False,
    stall_limit: Seconds = STALL_LIMIT_S,
) -> int:
    """Mark the sounding objects of videos, or the objects that texts describe.

    Each video gets a folder, OUTPUT/NAME, with overlay.mp4, masks/000000.png ... and result.json.
    The folder appears when it is complete. Videos whose folder is complete for the same model and
    options are skipped. Silent frames get empty masks, unless the model uses no audio.

    Args:
        video: Video files, and folders with video files in them.
        output: Folder for the results.
        model: Name of a model (`avseg models` lists them), or the folder of a saved one; by default
            the one that AVSEG_MODEL names or `avseg models --use` has set, else av2t-sam-small.
        text: Description of the objects to mark, such as "the dog on the left", for a model that is
            prompted by texts (EVF-SAM, SAM 3, AuralSAM2 for Ref-AVS). May be repeated; each text
            becomes one source. The audio is used by AuralSAM2 only.
        vocabulary: Names among which a model that names sounding objects (the cascade, TAViS)
            chooses: names separated by commas, a text file (.txt) with one name per line, or
            audioset or avsbench for the classes of that data set; by default the vocabulary saved
            with the model.
        device: Device for the model: auto, cpu, cuda, cuda:1 or mps.
        memory: "low" reads weights from disk when they are needed, for a model larger than memory;
            the masks are the same. CPU only.
        image_size: Side of SAM 2's square input, in pixels, a multiple of 32; by default the
            model's own. A smaller side is faster and changes the masks.
        dtype: Dtype of matrix products; bfloat16 is faster on a GPU and on processors that support
            it, and changes the masks a little.
        threshold: Probability above which a pixel is marked.
        frames_per_second: Frames to segment per second; by default every frame of the video.
        overlay: Write the overlay video.
        audio_track: Audio track to use: its number among the audio tracks, counted from 1 (FFmpeg's
            0:a:0 is 1; `avseg probe` lists them); mix for the sum of all tracks; auto for the
            default track, or another one, with a warning, if that is digitally silent.
        silent_ok: Accept a video without an audio stream as silent.
        offline: Download nothing: the model must be on this machine.
        stall_limit: Seconds without progress (a packet read, a layer computed) after which a video
            is an error and the next one is segmented; "inf" for no limit. Loading the model does
            not count.

    Returns:
        0 if all videos were segmented, 1 if at least one failed.
    """
    # First, so that a wrong path fails before a notice is shown or a model is downloaded.
    videos = find_videos(video)
    model = model or default_model()
    show_notices([model], offline=offline, is_mapped=memory == "low")
    with progress_bar(transient=True) as bar:

        def show(progress: "BatchProgress") -> None:
            # A share of 0 is the first report of a video.
            if progress.share == 0:
                bar.restart(f"{progress.number}/{progress.total} {progress.video.name}")
            bar.update(progress.share)
            if progress.outcome is not None and progress.outcome.error is not None:
                show_error(str(progress.outcome.error), bar.console)

        outcomes = avseg.segment(
            videos,
            output,
            model=model,
            text=text,
            vocabulary=vocabulary,
            device=device,
            memory=memory,
            image_size=image_size,
            dtype=dtype,
            threshold=threshold,
            frames_per_second=frames_per_second,
            overlay=overlay,
            audio_track=audio_track,
            silent_ok=silent_ok,
            offline=offline,
            stall_limit_s=stall_limit,
            on_progress=show,
        )
    Console().print(_summary(outcomes))
    if any(outcome.summary is not None for outcome in outcomes):
        Console().print(Text(f"Results are in {output}."))
    # One failed video does not stop the others, but the exit code reports it.
    return int(any(outcome.error is not None for outcome in outcomes))


def _summary(outcomes: "list[VideoOutcome]") -> Table:
    """Build a table with one row per video; it has sources only if the model predicted names."""
    # Long names are folded instead of cut, so that they can be copied.
    columns = (Column("result", overflow="fold"), "frames", "marked", "area", "score")
    named = any(
        outcome.summary is not None and outcome.summary.sources is not None for outcome in outcomes
    )
    # Wide enough for the longest name of an error, which would be cut off otherwise.
    status = Column("status", min_width=len("TruncatedVideoError"))
    table = Table(*columns, *["sources"] * named, status)
    for outcome in outcomes:
        name, summary = Text(outcome.folder.name), outcome.summary
        if summary is None:
            # The message is above the bar already; the table shows the class of the error.
            empty = [""] * (len(table.columns) - 2)
            table.add_row(name, *empty, Text(_status(outcome), "red"))
            continue
        table.add_row(
            name,
            str(summary.frame_count),
            f"{_seconds(summary.sounding_s)} of {summary.duration_s:.1f} s",
            f"{summary.area:.1%}",
            f"{summary.score:.2f}",
            *[_source_times(summary.sources)] * named,
            _status(outcome),
        )
    return table


def _seconds(seconds: float) -> str:
    """Format seconds with one digit, so that only nothing at all is 0.0."""
    return "<0.1" if 0 < seconds < 0.05 else f"{seconds:.1f}"


def _status(outcome: "VideoOutcome") -> str:
    """Describe a result: whether it is new, why it has no mask, and how many warnings it has."""
    status, summary = "already complete" if outcome.was_complete else "written", outcome.summary
    if summary is None:
        return type(outcome.error).__name__
    if summary.sounding_s == 0:
        # Results of earlier versions have no reason.
        status += f": {summary.empty_because or 'nothing marked'}"
    if summary.warnings:
        status += f"; {len(summary.warnings)} warning{'s' * (len(summary.warnings) > 1)}"
    return status


def _source_times(sources: dict[str, float] | None) -> Text:
    """List the named sources with their marked seconds, the longest first."""
    longest_first = sorted((sources or {}).items(), key=lambda item: -item[1])
    return Text(", ".join(f"{name} {_seconds(seconds)} s" for name, seconds in longest_first))
