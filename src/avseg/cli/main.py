"""The `avseg` command: subcommands, exit codes, and error display.

Each subcommand is registered by its import path and imported when it is called, so `avseg --help`
imports neither torch nor transformers.

Exit codes: 0 success; 1 failure (an `AvsegError`, or the number that the subcommand returned);
2 wrong usage of the command line; 130 interrupted from the keyboard; 143 ended by SIGTERM.
"""

import ast
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from cyclopts import App, CycloptsError

import avseg
from avseg.allocator import reuse_freed_memory
from avseg.cli.terminal import show_error

app = App(
    name="avseg",
    help="Audio-visual segmentation: mark the sounding objects of a video.",
    version=avseg.__version__,
    suppress_keyboard_interrupt=False,  # `run` catches it, for an exit code of 130
)


def add_command(group: App, name: str, import_path: str) -> None:
    """Add a command that is imported when it is called; its help is the function's docstring.

    Args:
        group: App that gets the command.
        name: Name of the command.
        import_path: "module:function" of a module in this folder.
    """
    group.command(import_path, name=name, help=_read_docstring(import_path))


def _read_docstring(import_path: str) -> str:
    """Read a function's docstring from its source file, since an import would load NumPy."""
    module, _, function = import_path.partition(":")
    file = Path(__file__).with_name(f"{module.rpartition('.')[2]}.py")
    definitions = [
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == function
    ]
    return ast.get_docstring(definitions[0]) or ""


add_command(app, "segment", "avseg.cli.segment:segment")
add_command(app, "probe", "avseg.cli.probe:probe")
add_command(app, "evaluate", "avseg.cli.evaluate:evaluate")
add_command(app, "score", "avseg.cli.score:score")
add_command(app, "compare", "avseg.cli.compare:compare")
add_command(app, "train", "avseg.cli.train:train")
add_command(app, "import-checkpoint", "avseg.cli.import_checkpoint:import_checkpoint")
add_command(app, "make-cascade", "avseg.cli.make_cascade:make_cascade")
add_command(app, "make-open-cascade", "avseg.cli.make_open_cascade:make_open_cascade")
add_command(app, "models", "avseg.cli.models:models")
add_command(app, "doctor", "avseg.cli.doctor:doctor")
add_command(app, "verify", "avseg.cli.verify:verify")

reproduce = App(name="reproduce", help="Train small models: a paper's tables, or the package's.")
add_command(reproduce, "av2t-sam", "avseg.cli.reproduce:av2t_sam")
add_command(reproduce, "tavis", "avseg.cli.reproduce:tavis")
add_command(reproduce, "small-models", "avseg.cli.reproduce:small_models")
app.command(reproduce)

data = App(name="data", help="Synthesise and check data sets.")
add_command(data, "synthesize", "avseg.cli.data:synthesize")
add_command(data, "check", "avseg.cli.data:check")
app.command(data)

draw = App(name="draw", help="Draw figures of what models predict on a data set.")
add_command(draw, "comparison", "avseg.cli.draw:comparison")
add_command(draw, "embeddings", "avseg.cli.draw:embeddings")
app.command(draw)


def main() -> int:
    """Run the command line of this process.

    Returns:
        The exit code.
    """
    reuse_freed_memory(memory_limit(sys.argv[1:]))
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:  # the caller may have it ignored
        signal.signal(signal.SIGTERM, _raise_terminated)
    return run(app, sys.argv[1:])


class Terminated(KeyboardInterrupt):
    """SIGTERM was received; handled in the same way as Ctrl-C, which removes unfinished output."""


def _raise_terminated(*_: object) -> None:
    raise Terminated


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
    except Terminated:
        show_error("terminated.")
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        show_error("interrupted.")
        return 130
    return int(status)


#: Block size, in bytes, from which training returns freed memory to the operating system; it is the
#: largest that glibc accepts. Activations kept for the backward pass fragment the heap: no gap is
#: large enough for such a block, so keeping freed blocks would make memory grow.
TRAINING_LIMIT = 2**25

_MEMORY_LIMITS = {"train": TRAINING_LIMIT, "reproduce": TRAINING_LIMIT}


def memory_limit(arguments: Sequence[str]) -> int | None:
    """Return the block size from which a command returns freed memory.

    Args:
        arguments: Arguments after the command's name.

    Returns:
        Size in bytes; None if the command keeps all freed memory.
    """
    # Parsed before the command runs, because the allocator must be set before torch is imported.
    command, _, _ = app.parse_commands(arguments)
    return _MEMORY_LIMITS.get(command[0]) if command else None
