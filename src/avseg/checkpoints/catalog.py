"""Catalog of models: finds a model by its name or folder, and lists all named models."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

from avseg.checkpoints.import_cache import (
    find_imported,
    find_or_import,
    find_or_import_folder,
    is_published,
)
from avseg.checkpoints.known_models import (
    PACKAGED_MODELS,
    RELEASES,
    HubFile,
    Release,
)
from avseg.checkpoints.manual_models import MANUAL_MODELS, ManualModel
from avseg.checkpoints.model_folder import (
    CONFIG_FILE,
    PROCESSOR_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    Masks,
    Training,
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
        masks: Kind of masks that it predicts; None for a backbone, which predicts none.
        training: Data of its training; None if not recorded.
        is_seen: Whether its weights were seen where they are offered.
        folder: Folder of the model; None if it is not on this machine.
        licence: SPDX expression for the weights; None if their owners state no licence.
        known_bytes: Total size of the files of known size.
        size_is_known: Whether `known_bytes` is the size of all files, without small ones.
        size_is_computed: Whether a part of the size follows from the number of parameters.
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
    masks: Masks | None
    training: Training | None
    is_seen: bool
    folder: Path | None
    licence: str | None
    known_bytes: int
    size_is_known: bool
    size_is_computed: bool
    figures: Mapping[str, float]
    figures_from: str | None
    files: Mapping[str, str]
    downloads: tuple[HubFile, ...] = ()
    notice: str | None = None


def find_checkpoint(
    name_or_path: str | Path, *, offline: bool = False, is_mapped: bool = False
) -> Checkpoint:
    """Find a model by its name or by its folder; import a published model on first use.

    The import of a published model downloads its files, which may take minutes. A log message
    states which files are downloaded, and their licences.

    Args:
        name_or_path: Name from `list_models`, a folder that `save_pretrained` wrote, or one with
            the published files of SAM 3. A text that is not a known name is used as the path of a
            folder.
        offline: Whether to use no network, as with HF_HUB_OFFLINE=1.
        is_mapped: Whether the weights stay in their file (memory="low"), so that a published model
            may be larger than the memory.

    Returns:
        The model, with all its files. The content of the files is validated at loading.

    Raises:
        CheckpointError: If there is neither a model nor a folder of this name, if files are
            missing, if a published model does not fit into the memory, or if the download or the
            import fails.
        OutputError: If the cache cannot be written to, or its disk is too small.
    """
    name = str(name_or_path)
    if name in PACKAGED_MODELS:
        packaged = PACKAGED_MODELS[name]
        _check_files(packaged.folder, "the package is incomplete; install avseg again.")
        return packaged
    if name in RELEASES:
        return find_or_import(RELEASES[name], offline=offline, is_mapped=is_mapped)
    folder = Path(name_or_path)
    # A folder with the name of such a model is probably an import of it, so the folder is used.
    if name in MANUAL_MODELS and not folder.is_dir():
        raise CheckpointError(f"{name}: {_by_hand(MANUAL_MODELS[name])}")
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "there is no such folder"
        raise CheckpointError(
            f"{name}: {what}, and no model has that name ({_nearest(name)}; "
            f"`avseg models` lists all); give a name, or a folder with {CONFIG_FILE}, "
            f"{WEIGHTS_FILE} and {PROCESSOR_FILE}."
        )
    if is_published(folder):
        return find_or_import_folder(folder)
    _check_files(
        folder, "give a folder into which a model and its processor were saved (save_pretrained)."
    )
    licences = recorded_licences(folder)
    return Checkpoint(
        name=folder.resolve().name,
        folder=folder,
        licence=" AND ".join(map(str, licences)) or None if all(licences) else None,
        restrictions=restrictions(licences),
    )


def list_models() -> list[Listing]:
    """List all models that have a name, without network and without loading any.

    Returns:
        Models that work on filmed video first, backbones last; among equals those that need the
        fewest steps first: packaged, imported, downloadable, by hand.
    """
    listings = [
        *map(_list_packaged, PACKAGED_MODELS.values()),
        *map(_list_release, RELEASES.values()),
        *map(_list_manual, MANUAL_MODELS.values()),
    ]
    return sorted(listings, key=_rank)  # stable: models keep their order within a rank


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
    names = [*PACKAGED_MODELS, *RELEASES, *MANUAL_MODELS]
    return f"nearest: {', '.join(get_close_matches(name, names, n=3, cutoff=0.5) or names)}"


def _rank(listing: Listing) -> tuple[bool, ...]:
    """Return the sort key of a model; False comes first."""
    return (
        listing.masks is None,
        listing.training is None or not listing.training.is_filmed,
        listing.masks == "by text",  # a text has to be given, and most do not use the audio
        listing.state == "by hand",
        listing.state == "downloadable",
        not listing.is_seen,
    )


def _by_hand(model: ManualModel) -> str:
    """Format the limits of a model to download by hand, with the next step."""
    if model.masks is None:
        return f"segments nothing by itself, and is not downloaded; {model.next_step}."
    return f"is not downloaded; {model.next_step}."


def _list_packaged(checkpoint: Checkpoint) -> Listing:
    # In a damaged installation the file may be missing, but the list should still be complete.
    weights = checkpoint.folder / WEIGHTS_FILE
    return Listing(
        name=checkpoint.name,
        what=checkpoint.what,
        details=f"{checkpoint.what}. Trained on {checkpoint.world}.",
        state="packaged",
        masks=checkpoint.masks,
        training=checkpoint.training,
        is_seen=True,
        folder=checkpoint.folder,
        licence=checkpoint.licence,
        known_bytes=weights.stat().st_size if weights.is_file() else 0,
        size_is_known=weights.is_file(),
        size_is_computed=False,
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
        masks=release.masks,
        training=release.training,
        is_seen=release.is_seen,
        folder=imported.folder if imported else None,
        licence=release.licence,
        known_bytes=release.known_bytes,
        size_is_known=release.size_is_known,
        size_is_computed=release.size_is_computed,
        figures=release.figures,
        figures_from=release.figures_from,
        files={
            f"{file.repository}/{file.file}@{file.revision}": file.name_from
            for file in release.files
        },
        downloads=release.files,
        notice=notice,
    )


def _list_manual(model: ManualModel) -> Listing:
    return Listing(
        name=model.name,
        what=model.what,
        details=model.details,
        state="by hand",
        masks=model.masks,
        training=model.training,
        is_seen=model.is_seen,
        folder=None,
        licence=model.licence,
        known_bytes=model.size_bytes or 0,
        size_is_known=model.size_bytes is not None,
        size_is_computed=False,
        figures=model.figures,
        figures_from=model.figures_from,
        files=model.addresses,
        notice=f"It {_by_hand(model)}",
    )


def _check_files(folder: Path, next_step: str) -> None:
    missing = missing_files(folder)
    if missing:
        raise CheckpointError(
            f"{folder}: is not a complete model, {', '.join(missing)} is missing; {next_step}"
        )
