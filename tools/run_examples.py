"""Run every example, the notebook and the code of the tutorials and how-to guides.

python tools/run_examples.py FOLDER [NAME...]   (`make examples` runs all)

Each runs in a new, empty folder. NAME is a file of examples/, docs/tutorials/ or docs/how-to/
without its suffix. Code blocks marked `bash` are run by bash. Those marked `python` share one
namespace per page.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def main(folder: Path, names: list[str]) -> None:
    """Run the examples one after another; an error ends the program.

    Args:
        folder: Parent of the folders in which the examples run; an existing folder is replaced.
        names: Names of the examples to run; all if empty.
    """
    files = [
        *sorted((ROOT / "examples").glob("*.py")),
        *sorted((ROOT / "examples").glob("*.ipynb")),
        *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
        *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    ]
    unknown = set(names) - {path.stem for path in files}
    if unknown:
        sys.exit(
            f"no example is called {', '.join(sorted(unknown))}; there are {', '.join(path.stem for path in files)}."
        )
    # `avseg` and `python` in a page mean those of this environment.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    folder = folder.resolve()  # before the first change of the working directory
    run = {".py": run_script, ".ipynb": run_notebook, ".md": run_page}
    for path in files:
        if names and path.stem not in names:
            continue
        place = folder / path.stem
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        # Examples name the demo video as a reader would, from the root of the repository.
        (place / "examples").symlink_to(ROOT / "examples")
        os.chdir(place)
        print(f"== {path.relative_to(ROOT)}", flush=True)
        start = time.monotonic()
        run[path.suffix](path)
        print(f"== {path.stem}: {time.monotonic() - start:.0f} s", flush=True)


def run_script(path: Path) -> None:
    """Run a script as a user would, without arguments."""
    subprocess.run([sys.executable, path], check=True)  # noqa: S603 - a file of this repository


def run_notebook(path: Path) -> None:
    """Run every cell of a notebook in a new kernel; the file is not changed."""
    import nbformat
    from nbclient import NotebookClient

    NotebookClient(nbformat.read(path, as_version=4), timeout=600).execute()


def run_page(path: Path) -> None:
    """Run the code blocks of a Markdown page in their order."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for language, code in _BLOCK.findall(path.read_text(encoding="utf-8")):
        print(f"-- {language}: {code.splitlines()[0]}", flush=True)
        if language == "bash":
            command = ["bash", "-euo", "pipefail", "-c", code]
            subprocess.run(command, check=True)  # noqa: S603 - a page of this repository
        else:
            exec(compile(code, str(path), "exec"), namespace)  # noqa: S102 - likewise


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
