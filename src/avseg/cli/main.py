"""The `avseg` command: its subcommands, its exit codes, and how an error is shown.

Subcommands are named by import path and loaded when they are called, so that `avseg --help` loads
neither torch nor transformers.

Exit codes: 0 all went well; 1 something could not be done (an `AvsegError`, or the number that the
subcommand returned); 2 the command was not understood; 130 interrupted from the keyboard.
"""

import ctypes
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError
from rich.console import Console
from rich.text import Text

import avseg

#: The largest limit that glibc takes, in bytes. Activations kept for a backward pass leave gaps in
#: which larger blocks find no room, so that memory would grow.
TRAINING_LIMIT = 2**25

#: Names of three options in glibc's malloc.h: when memory at the top of the heap goes back to the
#: operating system, from which size on a block is got from there, and how many may be.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def reuse_freed_memory(limit: int | None = None) -> None:
    """Keep freed memory for the next tensor instead of giving it back each time.

    By default glibc gets each large block from the operating system, which hands out zeroed pages:
    a tenth of the time of SAM 2's image encoder at 1024 pixels goes there. Without glibc nothing is
    done.

    Args:
        limit: Blocks of this size and larger are given back all the same, in bytes; None keeps all.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    if limit is None:
        mallopt(_M_MMAP_MAX, 0)
    else:
        mallopt(_M_MMAP_THRESHOLD, limit)


app = App(
    name="avseg",
    help="Audio-visual segmentation: mark in a video the objects that sound.",
    version=avseg.__version__,
    suppress_keyboard_interrupt=False,  # `run` reports it, wherever it strikes
)
app.command(
    "avseg.cli.segment:segment",
    name="segment",
    help="Mark the sounding objects of videos, or what texts name: overlay video, masks, figures.",
)
app.command(
    "avseg.cli.evaluate:evaluate",
    name="evaluate",
    help="Score a model on a data set in AVSBench's layout.",
)
app.command(
    "avseg.cli.score:score",
    name="score",
    help="Score saved predictions by all published protocols, without the model.",
)
app.command(
    "avseg.cli.compare:compare",
    name="compare",
    help="Put reports of several models on the same clips side by side.",
)
app.command(
    "avseg.cli.train:train",
    name="train",
    help="Train a model from a recipe.",
)
app.command(
    "avseg.cli.reproduce:reproduce",
    name="reproduce",
    help="Train and measure a paper's tables in small, and print them beside its own.",
)
app.command(
    "avseg.cli.import_checkpoint:import_checkpoint",
    name="import-checkpoint",
    help="Put published checkpoints together into a model's folder.",
)
app.command(
    "avseg.cli.make_cascade:make_cascade",
    name="make-cascade",
    help="Put CLAP before an EVF-SAM: what sounds is named, and marked by its name.",
)
app.command(
    "avseg.cli.models:models",
    name="models",
    help="List the models: what they are, their licences and figures, and which are here.",
)

#: Commands that give large blocks of memory back, and from which size on, in bytes.
_MEMORY_LIMITS = {"train": TRAINING_LIMIT, "reproduce": TRAINING_LIMIT}

data = App(name="data", help="Make data sets, and check them.")
data.command(
    "avseg.cli.data:synthesize",
    name="synthesize",
    help="Write SynthAVS, the synthetic benchmark, in AVSBench's layout.",
)
data.command(
    "avseg.cli.data:check",
    name="check",
    help="Look for what is missing, broken or mislabelled in a data set.",
)
app.command(data)

draw = App(name="draw", help="Draw what models do on a data set, as papers show it.")
draw.command(
    "avseg.cli.draw:comparison",
    name="comparison",
    help="Draw a few clips: sound, frames, truth, and the masks of each model.",
)
draw.command(
    "avseg.cli.draw:embeddings",
    name="embeddings",
    help="Draw where a model places sounds and pictures, by t-SNE.",
)
app.command(draw)


def main() -> int:
    """Run the command line of this process.

    Returns:
        The exit code.
    """
    reuse_freed_memory(memory_limit(sys.argv[1:]))
    return run(app, sys.argv[1:])


def memory_limit(arguments: Sequence[str]) -> int | None:
    """Say from which size on a command gives blocks of memory back.

    Args:
        arguments: What the user typed after the command's name.

    Returns:
        The size in bytes; None if it keeps all for its next tensors.
    """
    command, _, _ = app.parse_commands(arguments)
    return _MEMORY_LIMITS.get(command[0]) if command else None


def run(command: App, arguments: Sequence[str]) -> int:
    """Run a command and turn what happens into an exit code.

    Args:
        command: The command with its subcommands.
        arguments: What the user typed after the command's name.

    Returns:
        The exit code; see the module's docstring.
    """
    try:
        status = command(
            arguments,
            exit_on_error=False,
            result_action="return_int_as_exit_code_else_zero",
        )
    except CycloptsError:  # cyclopts has shown it, with the nearest valid spelling
        return 2
    except avseg.AvsegError as error:
        _show_error(str(error))
        return 1
    except KeyboardInterrupt:
        _show_error("interrupted.")
        return 130
    return int(status)


def _show_error(message: str) -> None:
    # Text, not markup: a file name may hold square brackets. Soft wrap: a path stays in one piece.
    line = Text.assemble(("error: ", "bold red"), (message, "red"))
    Console(stderr=True).print(line, soft_wrap=True, highlight=False)
