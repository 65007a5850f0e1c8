"""Which model a name means: one in the package, in `packaged/<name>/`, or a published one."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from avseg.checkpoints.import_cache import find_imported, find_or_import
from avseg.checkpoints.known_models import BACKBONES, RELEASES, Backbone
from avseg.checkpoints.model_folder import (
    CONFIG_FILE,
    PROCESSOR_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    missing_files,
    recorded_licences,
    restrictions,
)
from avseg.errors import CheckpointError

DEFAULT_MODEL = "av2t-sam-small"

_PACKAGED = Path(__file__).parent / "packaged"

#: The models in the package.
PACKAGED_MODELS: dict[str, Checkpoint] = {
    name: Checkpoint(
        name=name,
        folder=_PACKAGED / name,
        licence="Apache-2.0",
        world="SynthAVS's drawn world (moving drawings and synthesised sounds)",
    )
    for name in (DEFAULT_MODEL, "tavis-small")
}


@dataclass(frozen=True)
class Listing:
    """What is known of a model before it is loaded.

    Attributes:
        name: What to give as --model.
        what: What it is, in a few words.
        state: Whether it is in the package, was imported before, would be downloaded, or has to be
            fetched by hand.
        folder: Where it is; None if it is not here.
        licence: SPDX expression for its weights; None where their owners state none.
        known_bytes: Size of its files, as far as known.
        size_is_known: Whether that is the size of all of them.
        figures: Measure to value, as published.
        figures_from: Where the figures are published.
        files: What would be downloaded: repository/file@revision, and how the name is known; of
            one by hand, its address and how its size is known.
    """

    name: str
    what: str
    state: Literal["packaged", "imported", "downloadable", "by hand"]
    folder: Path | None
    licence: str | None
    known_bytes: int
    size_is_known: bool
    figures: Mapping[str, float]
    figures_from: str | None
    files: Mapping[str, str]


def find_checkpoint(name_or_path: str | Path, *, offline: bool = False) -> Checkpoint:
    """Find a model by its name, or by the path of its folder.

    A published model is downloaded and imported the first time, which may take minutes; it is
    logged what is downloaded, and on which terms.

    Args:
        name_or_path: A name that `list_models` knows, or a folder as `save_pretrained` writes it. A
            folder is meant where the text is no name.
        offline: Whether to use no network, as HF_HUB_OFFLINE=1 does.

    Returns:
        The model, which is all there; whether it fits together shows when it is loaded.

    Raises:
        CheckpointError: If it is neither, files are missing, or it cannot be downloaded.
    """
    name = str(name_or_path)
    if name in PACKAGED_MODELS:
        packaged = PACKAGED_MODELS[name]
        _check_files(packaged.folder, "the package is incomplete; install avseg again.")
        return packaged
    if name in RELEASES:
        return find_or_import(RELEASES[name], offline=offline)
    folder = Path(name_or_path)
    if name in BACKBONES and not folder.is_dir():
        raise CheckpointError(
            f"{name}: marks nothing by itself, and is not downloaded; {BACKBONES[name].next_step}."
        )
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "there is no such folder"
        names = [*PACKAGED_MODELS, *RELEASES]
        nearest = get_close_matches(name, names, n=3, cutoff=0.5) or names
        raise CheckpointError(
            f"{name}: {what}, and no model has that name (nearest: {', '.join(nearest)}; "
            f"`avseg models` lists all); give a name, or a folder with {CONFIG_FILE}, "
            f"{WEIGHTS_FILE} and {PROCESSOR_FILE}."
        )
    _check_files(
        folder, "give a folder into which a model and its processor were saved (save_pretrained)."
    )
    limits = restrictions(recorded_licences(folder))
    return Checkpoint(name=folder.resolve().name, folder=folder, restrictions=limits)


def list_models() -> list[Listing]:
    """List the models that are known by name; without network, and without loading any.

    Returns:
        Those in the package first, then the published ones, then what these are built on.
    """
    return [
        *map(_list_packaged, PACKAGED_MODELS.values()),
        *map(_list_release, RELEASES),
        *map(_list_backbone, BACKBONES.values()),
    ]


def _list_packaged(checkpoint: Checkpoint) -> Listing:
    weights = checkpoint.folder / WEIGHTS_FILE
    return Listing(
        name=checkpoint.name,
        what=f"AV2T-SAM, small; knows {checkpoint.world}",
        state="packaged",
        folder=checkpoint.folder,
        licence=checkpoint.licence,
        known_bytes=weights.stat().st_size if weights.is_file() else 0,
        size_is_known=weights.is_file(),
        figures={},
        figures_from=None,
        files={},
    )


def _list_release(name: str) -> Listing:
    release = RELEASES[name]
    here = find_imported(release)
    return Listing(
        name=name,
        what=release.what,
        state="imported" if here else "downloadable",
        folder=here.folder if here else None,
        licence=release.licence,
        known_bytes=release.known_bytes,
        size_is_known=release.size_is_known,
        figures=release.figures,
        figures_from=release.figures_from,
        files={
            f"{part.repository}/{part.file}@{part.revision}": part.name_from
            for part in release.parts
        },
    )


def _list_backbone(backbone: Backbone) -> Listing:
    return Listing(
        name=backbone.name,
        what=backbone.what,
        state="by hand",
        folder=None,
        licence=backbone.licence,
        known_bytes=backbone.size_bytes,
        size_is_known=True,
        figures={},
        figures_from=None,
        files={backbone.url: backbone.size_from},
    )


def _check_files(folder: Path, next_step: str) -> None:
    missing = missing_files(folder)
    if missing:
        raise CheckpointError(
            f"{folder}: is no complete model, {', '.join(missing)} is missing; {next_step}"
        )
