"""`avseg verify`: check that a model can be downloaded, loaded and used."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}


def verify(
    model: str,
    video: Path | None = None,
    /,
    *,
    text: str = "dog",
    device: str = "auto",
    offline: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Download and import a model, segment a short clip, and report which checks hold.

    The checks are: hashes of the files, keys and values of the weights, finite scores, masks that
    are neither empty nor full, time and memory. The report is a Markdown table to be copied into an
    issue or a message.

    Args:
        model: Name of a model (`avseg models` lists them), or the folder of a saved one.
        video: Video whose first five seconds are segmented; by default a clip of SynthAVS, in which
            a model for filmed video may mark nothing.
        text: Objects to mark, for a model that is prompted by texts.
        device: Device for the model: auto, cpu, cuda, cuda:1 or mps.
        offline: Download nothing: the model must be on this machine.

    Returns:
        0 if no check has an error, else 1.
    """
    from avseg.diagnosis import ModelTest, check_model, describe_software  # loads torch

    console = Console()
    # Each line is printed when it is known, since a download may take long. Without wrapping, so
    # that the table stays Markdown.
    heading = f"avseg verify {model}: {describe_software()}"
    for line in (heading, "", "| check | status | found |", "| --- | --- | --- |"):
        console.print(line, soft_wrap=True, highlight=False, markup=False)
    failed = False
    for check in check_model(ModelTest(model, video, text, device, offline)):
        failed |= check.status == "error"
        step = f" Next step: {check.next_step}" if check.next_step else ""
        row = f"{check.found.removesuffix('.')}.{step}".replace("|", "\\|").replace("\n", " ")
        status = (check.status, _STYLES[check.status])
        console.print(Text.assemble(f"| {check.name} | ", status, f" | {row} |"), soft_wrap=True)
    return int(failed)
