"""`avseg probe`: facts about video files, and the audio track that would be used."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

import avseg
from avseg.cli.terminal import show_error
from avseg.types import AudioSelection, AudioTrackInfo, VideoInfo


def probe(
    video: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    json_: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Show facts about video files: container, picture, and audio tracks.

    The audio track that `avseg segment` uses by default is marked. Damage in the middle of a file
    is not found, because only the first frames are decoded, and the audio up to its first sample
    that is not silent. In Python, `avseg.probe` and `avseg.choose_audio` return these facts.

    Args:
        video: Video files.
        json_: Write JSON: a list with the entries "video" and "audio" of `result.json`, and the
            warnings, for each file; "error" for a file that cannot be read.

    Returns:
        0 if all files could be read, 1 if at least one could not.
    """
    entries: list[dict[str, Any]] = []
    failed = False
    for path in video:
        try:
            info, audio = avseg.probe(path), avseg.choose_audio(path)
        except avseg.AvsegError as error:
            failed = True
            entries.append(
                {"path": str(path), "error": type(error).__name__, "message": str(error)}
            )
            show_error(str(error))
            continue
        entries.append(
            {
                "path": str(path),
                "video": asdict(info),
                "audio": audio.facts(),
                "warnings": list(audio.warnings),
            }
        )
        if not json_:
            _show(info, audio)
    if json_:
        print(json.dumps(entries, indent=2))
    return int(failed)


def _show(info: VideoInfo, audio: AudioSelection) -> None:
    """Print the facts about one file: at most 80 columns wide."""
    console = Console()
    table = Table(
        Column("fact", style="bold", no_wrap=True),
        Column("value", overflow="fold"),
        show_header=False,
    )
    for name, value in _facts(info).items():
        table.add_row(name, Text(value))
    table.add_row("audio", Text(_describe_choice(audio)))
    # Soft wrap, so that a long path has no line breaks and can be copied.
    console.print(Text(info.path, "bold"), soft_wrap=True)
    console.print(table)
    if info.audio_tracks:
        console.print(_tracks(info.audio_tracks, audio))
    for warning in audio.warnings:
        console.print(Text(f"warning: {warning}", "yellow"))
    console.print()


def _facts(info: VideoInfo) -> dict[str, str]:
    """Describe container and picture; one entry is one row."""
    frames = "not announced" if info.frame_count is None else f"{info.frame_count}"
    variable = {True: ", variable", False: ", constant", None: ""}[info.variable_rate]
    rotation = f", stored rotated by {info.rotation}°" if info.rotation else ""
    # Primaries, transfer function, matrix and range.
    tags = (info.colour_primaries, info.colour_transfer, info.colour_matrix, info.colour_range)
    return {
        "container": info.container,
        "start": f"{info.start_s:.3f} s",
        "duration": f"{info.duration_s:.3f} s",
        "picture": f"{info.video_codec}, {info.width} x {info.height}{rotation}",
        "pixel format": info.pixel_format,
        "frame rate": f"{info.average_rate:.6g} per second{variable}",
        "frames": frames,
        "colour": ", ".join(tag or "unknown" for tag in tags) if any(tags) else "not described",
        "dynamic range": "high (HDR)" if info.hdr else "standard",
        "interlaced": "yes" if info.interlaced else "no",
        "alpha channel": "yes" if info.alpha else "no",
        "timecode": info.timecode or "none",
    }


def _describe_choice(audio: AudioSelection) -> str:
    if not audio.used:
        return f"none: {audio.because}"
    return f"track {audio.used[0]}: {audio.because}"


def _tracks(tracks: tuple[AudioTrackInfo, ...], audio: AudioSelection) -> Table:
    """Build the table of the audio tracks, the used one marked."""
    columns = ("used", "track", "codec", "rate", "channels", "language", "default")
    table = Table(*columns, Column("title", overflow="fold"))
    for track in tracks:
        table.add_row(
            "*" * (track.number in audio.used),
            str(track.number),
            Text(track.codec or "no decoder"),
            "" if track.sample_rate is None else f"{track.sample_rate} Hz",
            Text(track.layout or ""),
            Text(track.language or ""),
            "yes" * track.default,
            Text(track.title or ""),
        )
    return table
