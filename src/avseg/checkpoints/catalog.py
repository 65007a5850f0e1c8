"""Catalog of models: finds a model by its name or folder, and lists all named models."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from avseg.checkpoints.import_cache import find_imported, find_or_import
from avseg.checkpoints.known_models import (
    BACKBONES,
    PACKAGED_MODELS,
    RELEASES,
    Backbone,
    HubFile,
    Release,
)
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


@dataclass(frozen=True)
class Listing:
    """Description of a model, available without loading it.

    Attributes:
        name: Name for `--model`.
        what: Description in a few words.
        details: Description in one sentence.
        state: "packaged" for a model in the package, "imported" for one in the cache,
            "downloadable" for one that is downloaded on first use, "by hand" for one that the user
            has to download.
        folder: Folder of the model; None if it is not on this machine.
        licence: SPDX expression for the weights; None if their owners state no licence.
        known_bytes: Total size of the files of known size.
        size_is_known: Whether `known_bytes` is the size of all files.
        figures: Published figures, metric to value.
        figures_from: Publication that contains the figures.
        files: For each file to download, as repository/file@revision, the origin of its name in
            this list. For a model to download by hand, the address and the origin of its size.
        downloads: The files to download with their sizes and licences.
        notice: Limits of the model, for the user; None if there are none.
    """

    name: str
    what: str
    details: str
    state: Literal["packaged", "imported", "downloadable", "by hand"]
    folder: Path | None
    licence: str | None
    known_bytes: int
    size_is_known: bool
    figures: Mapping[str, float]
    figures_from: str | None
    files: Mapping[str, str]
    downloads: tuple[HubFile, ...] = ()
    notice: str | None = None


def find_checkpoint(name_or_path: str | Path, *, offline: bool = False) -> Checkpoint:
    """Find a model by its name or by its folder; import a published model on first use.

    The import of a published model downloads its files, which may take minutes. A log message
    states which files are downloaded, and their licences.

    Args:
        name_or_path: Name from `list_models`, or a folder that `save_pretrained` wrote. A text
            that is not a known name is used as the path of a folder.
        offline: Whether to use no network, as with HF_HUB_OFFLINE=1.

    Returns:
        The model, with all its files. The content of the files is validated at loading.

    Raises:
        CheckpointError: If there is neither a model nor a folder of this name, if files are
            missing, or if the download or the import fails.
        OutputError: If the cache cannot be written to.
    """
    name = str(name_or_path)
    if name in PACKAGED_MODELS:
        packaged = PACKAGED_MODELS[name]
        _check_files(packaged.folder, "the package is incomplete; install avseg again.")
        return packaged
    if name in RELEASES:
        return find_or_import(RELEASES[name], offline=offline)
    folder = Path(name_or_path)
    # A folder with the name of a backbone is probably an import of it, so the folder is used.
    if name in BACKBONES and not folder.is_dir():
        raise CheckpointError(
            f"{name}: segments nothing by itself, and is not downloaded; "
            f"{BACKBONES[name].next_step}."
        )
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "there is no such folder"
        raise CheckpointError(
            f"{name}: {what}, and no model has that name ({_nearest(name)}; "
            f"`avseg models` lists all); give a name, or a folder with {CONFIG_FILE}, "
            f"{WEIGHTS_FILE} and {PROCESSOR_FILE}."
        )
    _check_files(
        folder, "give a folder into which a model and its processor were saved (save_pretrained)."
    )
    limits = restrictions(recorded_licences(folder))
    return Checkpoint(name=folder.resolve().name, folder=folder, restrictions=limits)


def list_models() -> list[Listing]:
    """List all models that have a name, without network and without loading any.

    Returns:
        The models of the package, then the published models, then the backbones.
    """
    return [
        *map(_list_packaged, PACKAGED_MODELS.values()),
        *map(_list_release, RELEASES.values()),
        *map(_list_backbone, BACKBONES.values()),
    ]


def find_listing(name: str) -> Listing:
    """Find the description of a model.

    Args:
        name: Name from `list_models`.

    Returns:
        Its description.

    Raises:
        CheckpointError: If no model has that name.
    """
    for listing in list_models():
        if listing.name == name:
            return listing
    raise CheckpointError(
        f"{name}: no model has that name ({_nearest(name)}); `avseg models` lists all."
    )


def _nearest(name: str) -> str:
    names = [*PACKAGED_MODELS, *RELEASES]
    return f"nearest: {', '.join(get_close_matches(name, names, n=3, cutoff=0.5) or names)}"


def _list_packaged(checkpoint: Checkpoint) -> Listing:
    # In a damaged installation the file may be missing, but the list should still be complete.
    weights = checkpoint.folder / WEIGHTS_FILE
    return Listing(
        name=checkpoint.name,
        what=checkpoint.what,
        details=f"{checkpoint.what}. Trained on {checkpoint.world}.",
        state="packaged",
        folder=checkpoint.folder,
        licence=checkpoint.licence,
        known_bytes=weights.stat().st_size if weights.is_file() else 0,
        size_is_known=weights.is_file(),
        figures={},
        figures_from=None,
        files={},
        notice=checkpoint.notice,
    )


def _list_release(release: Release) -> Listing:
    imported = find_imported(release)
    notice = None
    if release.licence is None:
        notice = "The owners of a file state no licence; ask them before you use the model."
    return Listing(
        name=release.name,
        what=release.what,
        details=release.details,
        state="imported" if imported else "downloadable",
        folder=imported.folder if imported else None,
        licence=release.licence,
        known_bytes=release.known_bytes,
        size_is_known=release.size_is_known,
        figures=release.figures,
        figures_from=release.figures_from,
        files={
            f"{file.repository}/{file.file}@{file.revision}": file.name_from
            for file in release.files
        },
        downloads=release.files,
        notice=notice,
    )


def _list_backbone(backbone: Backbone) -> Listing:
    return Listing(
        name=backbone.name,
        what=backbone.what,
        details=backbone.details,
        state="by hand",
        folder=None,
        licence=backbone.licence,
        known_bytes=backbone.size_bytes,
        size_is_known=True,
        figures={},
        figures_from=None,
        files={backbone.url: backbone.size_from},
        notice=f"It segments nothing by itself; {backbone.next_step}.",
    )


def _check_files(folder: Path, next_step: str) -> None:
    missing = missing_files(folder)
    if missing:
        raise CheckpointError(
            f"{folder}: is not a complete model, {', '.join(missing)} is missing; {next_step}"
        )
