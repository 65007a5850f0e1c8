"""The `avseg` command: subcommands, exit codes, error display, and the allocator settings.

Each subcommand is registered by its import path and loaded when it is called, so `avseg --help`
loads neither torch nor transformers.

Exit codes: 0 success; 1 failure (an `AvsegError`, or the number that the subcommand returned);
2 wrong usage of the command line; 130 interrupted from the keyboard.
"""

import ctypes
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

import avseg
from avseg.cli.terminal import show_error

app = App(
    name="avseg",
    help="Audio-visual segmentation: mark the sounding objects of a video.",
    version=avseg.__version__,
    suppress_keyboard_interrupt=False,  # `run` catches it, so that all commands end the same way
)
app.command(
    "avseg.cli.segment:segment",
    name="segment",
    help="Mark the sounding objects of videos, or what texts describe.",
)
app.command(
    "avseg.cli.evaluate:evaluate",
    name="evaluate",
    help="Evaluate a model on a data set in AVSBench's layout.",
)
app.command(
    "avseg.cli.score:score",
    name="score",
    help="Score saved predictions by all published protocols, without the model.",
)
app.command(
    "avseg.cli.compare:compare",
    name="compare",
    help="Compare the reports of several models on the same clips.",
)
app.command(
    "avseg.cli.train:train",
    name="train",
    help="Train a model from a recipe.",
)
app.command(
    "avseg.cli.reproduce:reproduce",
    name="reproduce",
    help="Reproduce a paper's tables with small models, beside the published figures.",
)
app.command(
    "avseg.cli.import_checkpoint:import_checkpoint",
    name="import-checkpoint",
    help="Convert published checkpoint files to an avseg model folder.",
)
app.command(
    "avseg.cli.make_cascade:make_cascade",
    name="make-cascade",
    help="Combine CLAP and EVF-SAM in a model that names sounding objects and marks them by name.",
)
app.command(
    "avseg.cli.models:models",
    name="models",
    help="List the models: description, licence, published figures, and whether they are here.",
)

data = App(name="data", help="Synthesise and check data sets.")
data.command(
    "avseg.cli.data:synthesize",
    name="synthesize",
    help="Write SynthAVS, the synthetic benchmark, in AVSBench's layout.",
)
data.command(
    "avseg.cli.data:check",
    name="check",
    help="Check a data set for missing, broken and mislabelled files.",
)
app.command(data)

draw = App(name="draw", help="Draw figures of what models predict on a data set.")
draw.command(
    "avseg.cli.draw:comparison",
    name="comparison",
    help="Draw a few clips: audio, frames, ground truth, and the masks of each model.",
)
draw.command(
    "avseg.cli.draw:embeddings",
    name="embeddings",
    help="Draw a t-SNE map of a model's audio and image embeddings.",
)
app.command(draw)


def main() -> int:
    """Run the command line of this process.

    Returns:
        The exit code.
    """
    reuse_freed_memory(memory_limit(sys.argv[1:]))
    return run(app, sys.argv[1:])


def run(command: App, arguments: Sequence[str]) -> int:
    """Run a command and turn its outcome into an exit code.

    Args:
        command: The command with its subcommands.
        arguments: Arguments after the command's name.

    Returns:
        The exit code; see the module's docstring.
    """
    try:
        status = command(
            arguments,
            exit_on_error=False,
            result_action="return_int_as_exit_code_else_zero",
        )
    except CycloptsError:  # cyclopts has printed it already, with the nearest valid spelling
        return 2
    except avseg.AvsegError as error:
        show_error(str(error))
        return 1
    except KeyboardInterrupt:
        show_error("interrupted.")
        return 130
    return int(status)


# Allocator settings. By default glibc gets each large block from the operating system, which hands
# out zeroed pages: a tenth of the time of SAM 2's image encoder at 1024 pixels is spent there. So
# commands keep freed memory for the next tensor. They are set here, before torch is loaded.

#: Block size, in bytes, from which training returns freed memory to the operating system; it is the
#: largest that glibc accepts. Activations kept for the backward pass leave gaps that are too small
#: for such blocks, so keeping them all would make memory grow.
TRAINING_LIMIT = 2**25

_MEMORY_LIMITS = {"train": TRAINING_LIMIT, "reproduce": TRAINING_LIMIT}

#: Options of `mallopt`, by their numbers in glibc's malloc.h. They set when the top of the heap is
#: returned to the operating system, from which size on a block is requested from it directly, and
#: how many such blocks there may be.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4


def memory_limit(arguments: Sequence[str]) -> int | None:
    """Return the block size from which a command returns freed memory.

    Args:
        arguments: Arguments after the command's name.

    Returns:
        Size in bytes; None if the command keeps all freed memory.
    """
    command, _, _ = app.parse_commands(arguments)
    return _MEMORY_LIMITS.get(command[0]) if command else None


def reuse_freed_memory(limit: int | None = None) -> None:
    """Set glibc to keep freed memory for later allocations; without glibc, change nothing.

    Args:
        limit: Blocks of this size and larger are returned all the same, in bytes; None keeps all.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library, such as musl
        return
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    if limit is None:
        mallopt(_M_MMAP_MAX, 0)
    else:
        mallopt(_M_MMAP_THRESHOLD, limit)
