"""Save a trained model as a packaged model, with its card.

python tools/package_model.py RUN CARD.md src/avseg/checkpoints/packaged/av2t-sam-small
"""

import sys
from pathlib import Path

from avseg.checkpoints import find_checkpoint
from avseg.checkpoints.loading import load_checkpoint, save_packaged


def main(run: Path, card: Path, folder: Path) -> None:
    """Save the model of a run in half precision.

    Args:
        run: Folder of the run.
        card: The model card, Markdown.
        folder: Folder for the model.
    """
    model, processor = load_checkpoint(find_checkpoint(run))
    folder.parent.mkdir(parents=True, exist_ok=True)
    saved = save_packaged(model, processor, folder, card.read_text(encoding="utf-8"))
    print(f"{saved.name}: sha256 {saved.sha256()}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:4]))
