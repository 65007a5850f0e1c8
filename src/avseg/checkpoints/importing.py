"""Import of published checkpoints: converts files in their authors' formats to a model's folder.

The folder has the usual files of a model and two more. `source.json` records the published files.
`unused.safetensors` has the tensors of the trained system's file that no model here uses; with them
`exporting.py` can write the published file again without loss.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn

from avseg.atomic import OwnFolder, has_marker, replace_when_complete
from avseg.backbones.config import StrictConfig
from avseg.backbones.imagebind import ImageBind, ImageBindConfig, ImageBindTokenizer
from avseg.backbones.roberta import RobertaTokenizer
from avseg.backbones.tokenizing import SentencePieceTokenizer
from avseg.checkpoints.keymaps.auralsam2 import current_names
from avseg.checkpoints.keymaps.formats import (
    FILE_PREFIXES,
    FORMATS,
    SYSTEMS,
    TOWER_PREFIXES,
    System,
    detect_format,
)
from avseg.checkpoints.keymaps.key_map import Converted
from avseg.checkpoints.model_folder import (
    PARSE_ERRORS,
    SOURCE_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    file_sha256,
)
from avseg.checkpoints.reading import PublishedFile, read_published
from avseg.checkpoints.saving import explain_weight_write_errors, save_weights
from avseg.checkpoints.tower_files import RecognisedFile, fit_file, fit_tower, role_title
from avseg.errors import CheckpointError, OutputError
from avseg.models.auto import FAMILIES
from avseg.models.model import AvsegConfig

UNUSED_FILE = "unused.safetensors"

_OWN_FOLDER = OwnFolder("an imported model", has_marker(SOURCE_FILE, ("imported", "sources")))

Features = Literal["clip", "clap", "mul"]

#: Errors of reading a file that is not a configuration.
_CONFIG_ERRORS = (*PARSE_ERRORS, StrictDataclassError)

_SENTENCEPIECE = (".model", ".spm")
_ADDED_TOKENS = "added_tokens.json"
#: Suffixes of the files of CLIP's tokenizer, which ImageBind uses: the published list of merges, or
#: the JSON file of the `tokenizers` library.
_CLIP_TOKENIZER = (".txt", ".gz", ".json")
#: Name and licence of the tokenizers of one file, by the tokenizer of their system.
_ONE_FILE_TOKENIZERS = {"clip": ("clip-bpe", "MIT"), "roberta": ("roberta-bpe", "Apache-2.0")}


def convert_published(
    files: Sequence[Path],
    output: Path,
    config: Path | None = None,
    features: Features | None = None,
    trained_with: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Convert published files to a model's folder; see `conversion.import_checkpoint`."""
    # First, because reading and converting gigabytes takes minutes.
    _check_output(output, files)
    tokenizers = [path for path in files if _is_tokenizer(path)]
    weights = [path for path in files if not _is_tokenizer(path)]
    recognised = _by_role([read_published(path) for path in weights])
    if "system" not in recognised:
        return _import_imagebind(recognised["imagebind"], tokenizers, output, config)
    trained = recognised["system"]
    system = SYSTEMS[trained.format.name]
    sizes = _configuration(system, trained, config, features)
    _check_towers(system.towers(sizes), recognised)
    hashes = {each.format.role: _hashes(each) for each in recognised.values()}
    _check_trained_with(trained_with or trained.file.trained_with, hashes, recognised)
    processor = _processor(system, sizes, trained, tokenizers)
    state = _shapes(lambda: FAMILIES[sizes.model_type].model(sizes), config)
    converted = _convert(system, sizes, recognised, state)
    with _new_folder(converted, output) as folder:
        sizes.save_pretrained(folder)
        processor.save_pretrained(folder)
        _save_origins(folder, recognised, converted, tokenizers)
    return Checkpoint(output.resolve().name, output, licence=trained.format.licence)


def _import_imagebind(
    imagebind: RecognisedFile, tokenizers: Sequence[Path], output: Path, config: Path | None
) -> Checkpoint:
    """Convert ImageBind alone, with the tensor names that it has in TAViS."""
    tokenizer = _clip_tokenizer(imagebind, tokenizers)
    sizes = ImageBindConfig() if config is None else _read_sizes(config, ImageBindConfig, imagebind)
    role = imagebind.format.role
    state = _shapes(lambda: ImageBind(sizes), config)
    expected = {TOWER_PREFIXES[role] + name: values for name, values in state.items()}
    converted = fit_tower(imagebind, expected)
    with _new_folder(converted, output) as folder:
        sizes.save_pretrained(folder)
        tokenizer.save(folder)
        _save_origins(folder, {role: imagebind}, converted, tokenizers)
    return Checkpoint(output.resolve().name, output, licence=imagebind.format.licence)


def _check_output(output: Path, paths: Sequence[Path]) -> None:
    """Raise an error if the folder was not written by an import, or contains an input file."""
    _OWN_FOLDER.check(output)
    inside = [path for path in paths if output.resolve() in path.resolve().parents]
    if inside:
        raise OutputError(
            f"{output}: will be replaced, and {inside[0]} is in it; choose another folder."
        )


def _by_role(files: Sequence[PublishedFile]) -> dict[str, RecognisedFile]:
    """Detect each file's format, and raise an error if the files do not make one model."""
    recognised: dict[str, RecognisedFile] = {}
    for published in files:
        file = _with_current_names(published)
        found = detect_format(file.tensors)
        if found is None:
            raise CheckpointError(
                f"{file.path}: its keys ({', '.join(list(file.tensors)[:2])}, ...) are of an "
                "unknown format; known formats are "
                f"{', '.join(known.title for known in FORMATS.values())}. Give the file that the "
                "model's authors published."
            )
        if found.role == "part" or (found.role == "sam2" and len(files) == 1):
            raise CheckpointError(
                f"{file.path}: is {found.title}, which is a part of EVF-SAM and AV2T-SAM, "
                "contained in their files; give one of those."
            )
        if found.role in recognised:
            raise CheckpointError(
                f"{file.path}: is {found.title}, and {recognised[found.role].file.path} is "
                f"{recognised[found.role].format.title}; give one of the two."
            )
        recognised[found.role] = RecognisedFile(file, found)
    if "system" in recognised:
        for role in recognised["system"].format.contains:
            recognised.pop(role, None)
    if "system" not in recognised and set(recognised) != {"imagebind"}:
        given = ", ".join(each.format.title for each in recognised.values()) or "nothing"
        raise CheckpointError(
            f"there is no trained system among the files ({given}); give an AuralSAM2, "
            "AV2T-SAM, EVF-SAM or TAViS file too, or ImageBind's alone."
        )
    return recognised


def _with_current_names(file: PublishedFile) -> PublishedFile:
    """Rename the tensors of an older file of AuralSAM2."""
    try:
        return replace(file, tensors=current_names(file.tensors))
    except CheckpointError as error:
        raise CheckpointError(f"{file.path}: {error}") from error


def _configuration(
    system: System, trained: RecognisedFile, config: Path | None, features: Features | None
) -> AvsegConfig:
    """Build the configuration from `config` or the defaults, and from the checkpoint's options."""
    options = system.options(trained.file.tensors)
    if features is not None:
        if "features" not in options:
            raise CheckpointError(
                f"{trained.file.path}: is {trained.format.title}, which is prompted with text; "
                f"leave features={features!r} out."
            )
        options["features"] = features
    config_class = FAMILIES[system.model_type].config
    if config is None:
        return config_class(**options)
    given = _read_sizes(config, config_class, trained)
    if isinstance(given.sam_config, type(options["sam_config"])):
        # `config` is for the SAM of the checkpoint, so its sizes are used.
        del options["sam_config"]
    replaced: AvsegConfig = given.replace(**options)
    return replaced


def _read_sizes(config: Path, config_class: type[StrictConfig], recognised: RecognisedFile) -> Any:
    try:
        return config_class.from_json_file(config)
    except _CONFIG_ERRORS as error:
        raise CheckpointError(
            f"{config}: is not a configuration of {recognised.format.title} ({error}); give the "
            "config.json of a model that avseg has saved."
        ) from error


def _check_towers(needed: Sequence[str], recognised: Mapping[str, RecognisedFile]) -> None:
    system = recognised["system"]
    for role in FILE_PREFIXES:
        if role in needed and role not in recognised:
            raise CheckpointError(
                f"{system.file.path}: this {system.format.title} needs {role_title(role)}, which "
                "its file does not contain; give that file too."
            )
        if role in recognised and role not in needed:
            raise CheckpointError(
                f"{recognised[role].file.path}: is {recognised[role].format.title}, which this "
                f"{system.format.title} does not use; leave it out."
            )


def _is_tokenizer(path: Path) -> bool:
    return path.suffix in _SENTENCEPIECE or path.name == _ADDED_TOKENS or _is_clip_tokenizer(path)


def _is_clip_tokenizer(path: Path) -> bool:
    return path.suffix in _CLIP_TOKENIZER and path.name != _ADDED_TOKENS


def _processor(
    system: System, sizes: AvsegConfig, trained: RecognisedFile, tokenizers: Sequence[Path]
) -> Any:
    """Build the processor, with its tokenizer if the system takes text."""
    processor: Any = FAMILIES[sizes.model_type].processor
    models = [path for path in tokenizers if path.suffix in _SENTENCEPIECE]
    if system.tokenizer == "clip":
        return processor.from_config(sizes, _clip_tokenizer(trained, tokenizers))
    if system.tokenizer == "roberta":
        return processor.from_config(sizes, _roberta_tokenizer(trained, tokenizers))
    if system.tokenizer is None:
        if tokenizers:
            raise CheckpointError(
                f"{tokenizers[0]}: belongs to a tokenizer, but {trained.format.title} takes no "
                "text; leave it out."
            )
        return processor.from_config(sizes)
    if len(models) != 1 or any(path.parent != models[0].parent for path in tokenizers):
        given = ", ".join(map(str, tokenizers)) or "none"
        raise CheckpointError(
            f"{trained.file.path}: {trained.format.title} needs its tokenizer, one SentencePiece "
            f"model ({SentencePieceTokenizer.FILE}) with {_ADDED_TOKENS}, if it has one, in the "
            f"same folder; got {given}. Give the files that are published beside the weights."
        )
    return processor.from_config(sizes, SentencePieceTokenizer.from_file(models[0]))


def _clip_tokenizer(recognised: RecognisedFile, tokenizers: Sequence[Path]) -> ImageBindTokenizer:
    """Read CLIP's tokenizer, which ImageBind and TAViS use."""
    if len(tokenizers) != 1 or not _is_clip_tokenizer(tokenizers[0]):
        given = ", ".join(map(str, tokenizers)) or "none"
        raise CheckpointError(
            f"{recognised.file.path}: {recognised.format.title} needs its tokenizer, one file; got "
            f"{given}. Give bpe_simple_vocab_16e6.txt.gz of its repository, or tokenizer.json of "
            "openai/clip-vit-base-patch32."
        )
    return ImageBindTokenizer.from_file(tokenizers[0])


def _roberta_tokenizer(recognised: RecognisedFile, tokenizers: Sequence[Path]) -> RobertaTokenizer:
    """Read the tokenizer of AuralSAM2 for Ref-AVS."""
    if len(tokenizers) != 1 or tokenizers[0].suffix != ".json":
        given = ", ".join(map(str, tokenizers)) or "none"
        raise CheckpointError(
            f"{recognised.file.path}: {recognised.format.title} needs its tokenizer, one file; got "
            f"{given}. Give tokenizer.json of distilbert/distilroberta-base."
        )
    return RobertaTokenizer.from_file(tokenizers[0])


def _hashes(recognised: RecognisedFile) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in recognised.file.files}


def _check_trained_with(
    expected: Mapping[str, str],
    hashes: Mapping[str, Mapping[str, str]],
    recognised: Mapping[str, RecognisedFile],
) -> None:
    # A tower that this model does not use has no file here, and needs no check.
    for role, sha256 in expected.items():
        if role in hashes and sha256 not in hashes[role].values():
            actual = ", ".join(hashes[role].values())
            raise CheckpointError(
                f"{recognised[role].file.path}: is not the {recognised[role].format.title} that "
                f"the checkpoint was trained with (SHA-256 {actual}, should be {sha256}); download "
                "that one."
            )


def _shapes(build: Callable[[], nn.Module], config: Path | None) -> dict[str, Tensor]:
    """Return the state dict of a model on the device "meta", without allocating its weights."""
    try:
        with torch.device("meta"):
            return build().state_dict()
    except PARSE_ERRORS as error:
        if config is None:  # the published sizes make a model
            raise
        raise CheckpointError(
            f"{config}: no model can be built with these sizes ({error}); give the config.json of "
            "a model that avseg has saved."
        ) from error


def _convert(
    system: System,
    sizes: AvsegConfig,
    recognised: Mapping[str, RecognisedFile],
    shapes: Mapping[str, Tensor],
) -> Converted:
    """Convert all files to the model's names."""
    state = dict(shapes)
    tensors: dict[str, Tensor] = {}
    # Each tower file fills its own part of the model; the system's file fills what remains of
    # `state`.
    for role in system.towers(sizes):
        prefixes = FILE_PREFIXES[role]
        expected = {name: state.pop(name) for name in list(state) if name.startswith(prefixes)}
        tensors |= fit_tower(recognised[role], expected).tensors
    trained = fit_file(recognised["system"], system.key_map(sizes), state)
    return Converted(tensors | trained.tensors, trained.unused)


@contextmanager
def _new_folder(converted: Converted, output: Path) -> Iterator[Path]:
    """Save tensors to a temporary folder, which is renamed to `output` if the block succeeds."""
    everything = converted.tensors | converted.unused
    with (
        replace_when_complete(output, _OWN_FOLDER) as folder,
        explain_weight_write_errors(output, everything),
    ):
        folder.mkdir()
        for name, tensors in ((WEIGHTS_FILE, converted.tensors), (UNUSED_FILE, converted.unused)):
            if tensors:
                save_weights(tensors, folder / name)
        yield folder


def _save_origins(
    folder: Path,
    recognised: Mapping[str, RecognisedFile],
    converted: Converted,
    tokenizers: Sequence[Path],
) -> None:
    """Record the published files in `source.json`."""
    files = [
        (path, role, each.format.name, each.format.licence)
        for role, each in recognised.items()
        for path in each.file.files
    ]
    # ImageBind alone has no system, and the tokenizer of CLIP.
    trained = recognised.get("system")
    kind = "clip" if trained is None else SYSTEMS[trained.format.name].tokenizer
    for path in tokenizers:
        if kind in _ONE_FILE_TOKENIZERS:
            files.append((path, "tokenizer", *_ONE_FILE_TOKENIZERS[kind]))
        else:
            licence = recognised["system"].format.licence
            files.append((path, "tokenizer", "sentencepiece", licence))
    described = {
        "imported": datetime.now(UTC).date().isoformat(),
        "sources": [
            {
                "role": role,
                "format": name,
                "file": path.name,
                "sha256": file_sha256(path),
                "date": datetime.fromtimestamp(path.stat().st_mtime, UTC).date().isoformat(),
                "licence": licence,
            }
            for path, role, name, licence in files
        ],
        "unused": sorted(converted.unused),
    }
    (folder / SOURCE_FILE).write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
