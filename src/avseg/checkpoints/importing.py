"""Published checkpoints into a folder that this package loads.

Besides what every model has, the folder gets `source.json`, which says what it was made of, and
`unused.safetensors`: what the published file of the trained system holds and nothing here computes
with, so that the file can be written again as it was (`exporting.py`).
"""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from avseg.atomic import replace_when_complete
from avseg.backbones.config import StrictConfig
from avseg.backbones.imagebind import ImageBind, ImageBindConfig, ImageBindTokenizer
from avseg.backbones.tokenizing import SentencePieceTokenizer
from avseg.checkpoints.keymaps.formats import FORMATS, Format, detect_format
from avseg.checkpoints.keymaps.key_map import Converted, KeyMap
from avseg.checkpoints.keymaps.systems import (
    SAM2_TABLES,
    SYSTEMS,
    TOWER_TABLES,
    TOWERS,
    System,
)
from avseg.checkpoints.model_folder import SOURCE_FILE, WEIGHTS_FILE, Checkpoint, file_sha256
from avseg.checkpoints.reading import PublishedFile, read_published
from avseg.errors import CheckpointError, OutputError
from avseg.models.auto import FAMILIES
from avseg.models.model import AvsegConfig

UNUSED_FILE = "unused.safetensors"

Features = Literal["clip", "clap", "mul"]

#: What reading a configuration raises on files that are none.
_NO_CONFIGURATION = (OSError, ValueError, TypeError, AttributeError, StrictDataclassError)

_SENTENCEPIECE = (".model", ".spm")
_ADDED_TOKENS = "added_tokens.json"
#: ImageBind's tokenizer is CLIP's: its merges, or the same as `tokenizers` writes them.
_CLIP_TOKENIZER = (".txt", ".gz", ".json")
_CLIP_TOKENIZER_LICENCE = "MIT"

#: Largest difference of a file's mel filters from those computed here; both are float32.
_MEL_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Source:
    """A published file and what it is.

    Attributes:
        file: The file.
        format: Its format.
    """

    file: PublishedFile
    format: Format


def import_checkpoint(
    files: Sequence[Path],
    output: Path,
    *,
    config: Path | None = None,
    features: Features | None = None,
    trained_with: Mapping[str, str] | None = None,
) -> Checkpoint:
    """Put published files together into a model's folder.

    Each file's format is recognised by its keys. An AV2T-SAM file with the files of the CLAP and
    CLIP towers it needs becomes an AV2T-SAM; an EVF-SAM file with those of its tokenizer becomes an
    EVF-SAM. A TAViS file holds its ImageBind, and needs CLIP's tokenizer; it is taken for one of
    the code as released. ImageBind's file with that of its tokenizer becomes a folder that marks
    nothing by itself, and that trainings start from. Tensors keep the dtype they were published in,
    and stay on disk while they are converted.

    Args:
        files: Published files (.pt, .pth, .bin, .safetensors), or folders of sharded ones; and of a
            tokenizer, the SentencePiece model and `added_tokens.json`, if there is one, beside it.
        output: The folder to make, or an imported one to replace; it appears when it is complete.
        config: A config.json with the sizes, for a checkpoint that has not the published ones.
        features: What becomes AV2T-SAM's prompt. None reads it off the checkpoint: a projection
            whose bias is zero throughout was never trained, so its tower takes no part.
        trained_with: SHA-256 of the file of the "clap" and of the "clip" tower that the adapters
            were trained on; another file is refused. None takes those that the checkpoint itself
            names, any if it names none.

    Returns:
        The imported model.

    Raises:
        CheckpointError: If a file is damaged, of an unknown format, has other tensors than its
            format, or is one too many or too few; if a tower is not the one trained with.
        OutputError: If the folder cannot be written, or holds something else.
    """
    _check_output(output, files)
    tokenizers = [Path(file) for file in files if _is_tokenizer(Path(file))]
    weights = [Path(file) for file in files if not _is_tokenizer(Path(file))]
    sources = _by_role([read_published(file) for file in weights])
    if "system" not in sources:
        return _import_imagebind(sources["imagebind"], tokenizers, output, config)
    trained = sources["system"]
    system = SYSTEMS[trained.format.name]
    sizes = _configuration(system, trained, config, features)
    _check_towers(system.towers(sizes), sources)
    hashes = {source.format.role: _hashes(source) for source in sources.values()}
    _check_trained_with(trained_with or trained.file.trained_with, hashes, sources)
    processor = _processor(system, sizes, sources["system"], tokenizers)
    converted = _convert(system, sizes, sources)
    everything = converted.tensors | converted.unused
    with writing(output, everything), replace_when_complete(output) as folder:
        folder.mkdir()
        _save(converted, folder)
        sizes.save_pretrained(folder)
        processor.save_pretrained(folder)
        _describe(folder, sources, converted, tokenizers)
    return Checkpoint(output.resolve().name, output, licence=trained.format.licence)


def _import_imagebind(
    source: Source, tokenizers: Sequence[Path], output: Path, config: Path | None
) -> Checkpoint:
    """Put ImageBind into a folder of its own, its tensors as in models that are built on it."""
    tokenizer = _clip_tokenizer(source, tokenizers)
    sizes = ImageBindConfig() if config is None else _read_sizes(config, ImageBindConfig, source)
    prefix = TOWERS[source.format.role]
    with torch.device("meta"):
        state = ImageBind(sizes).state_dict()
    expected = {prefix + name: values for name, values in state.items()}
    converted = _fit(source, TOWER_TABLES[source.format.name], expected)
    everything = converted.tensors | converted.unused
    with writing(output, everything), replace_when_complete(output) as folder:
        folder.mkdir()
        _save(converted, folder)
        sizes.save_pretrained(folder)
        tokenizer.save(folder)
        _describe(folder, {source.format.role: source}, converted, tokenizers)
    return Checkpoint(output.resolve().name, output, licence=source.format.licence)


def read_tower(path: Path, tower: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Read the published file of a tower: CLAP's, CLIP's or ImageBind's; or of SAM 2.

    Args:
        path: The file.
        tower: Names and shapes of the tower's tensors, as its own `state_dict` has them.

    Returns:
        The tensors under these names.

    Raises:
        CheckpointError: If it is damaged, no such file, or of other sizes.
    """
    file = read_published(path)
    found = detect_format(file.tensors)
    if found is not None and found.name == "sam2":
        marks = [mark for mark in SAM2_TABLES if any(name.startswith(mark) for name in tower)]
        if marks:
            return _fit(Source(file, found), SAM2_TABLES[marks[0]], tower).tensors
    if found is None or found.role not in TOWERS:
        raise CheckpointError(
            f"{path}: is {found.title if found else 'of no format known here'}; give the file of "
            f"{' or '.join(map(_title, TOWERS))}."
        )
    prefix = TOWERS[found.role]
    expected = {prefix + name: values for name, values in tower.items()}
    source = Source(file, found)
    tensors = _fit(source, TOWER_TABLES[found.name], expected).tensors
    _check_mel_bank(source, tensors, expected)
    return {name.removeprefix(prefix): values for name, values in tensors.items()}


def _check_output(output: Path, files: Sequence[Path]) -> None:
    """Refuse to replace a folder that this function has not written."""
    if output.exists() and not (output / SOURCE_FILE).is_file() and not _is_empty(output):
        raise OutputError(
            f"{output}: is there already and no imported model, so it is not replaced; choose "
            "another folder."
        )
    inside = [file for file in files if output.resolve() in Path(file).resolve().parents]
    if inside:
        raise OutputError(
            f"{output}: will be replaced, and {inside[0]} is in it; choose another folder."
        )


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _by_role(files: Sequence[PublishedFile]) -> dict[str, Source]:
    """Recognise each file and refuse those that make no model together."""
    sources: dict[str, Source] = {}
    for file in files:
        found = detect_format(file.tensors)
        if found is None:
            raise CheckpointError(
                f"{file.path}: its keys ({', '.join(list(file.tensors)[:2])}, ...) are of no "
                f"format known here ({', '.join(known.title for known in FORMATS)}); give the "
                "file that the model's authors published."
            )
        if found.role == "part":
            raise CheckpointError(
                f"{file.path}: is {found.title}, which is a part of EVF-SAM and AV2T-SAM, "
                "contained in their files; give one of those."
            )
        if found.role in sources:
            raise CheckpointError(
                f"{file.path}: is {found.title}, and {sources[found.role].file.path} is "
                f"{sources[found.role].format.title}; give one of the two."
            )
        sources[found.role] = Source(file, found)
    if "system" not in sources and set(sources) != {"imagebind"}:
        given = ", ".join(source.format.title for source in sources.values()) or "nothing"
        raise CheckpointError(
            f"there is no trained system among the files ({given}); give an AV2T-SAM, "
            "EVF-SAM or TAViS file too, or ImageBind's alone."
        )
    return sources


def _configuration(
    system: System, trained: Source, config: Path | None, features: Features | None
) -> AvsegConfig:
    """Read off the checkpoint what it says; the rest is as published, or as the file has it."""
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
        del options["sam_config"]  # the right SAM, with sizes of its own
    replaced: AvsegConfig = given.replace(**options)
    return replaced


def _read_sizes(config: Path, config_class: type[StrictConfig], source: Source) -> Any:
    try:
        return config_class.from_json_file(config)
    except _NO_CONFIGURATION as error:
        raise CheckpointError(
            f"{config}: is no configuration of {source.format.title} ({error}); give a "
            "config.json as avseg writes it beside a model."
        ) from error


def _check_towers(needed: Sequence[str], sources: Mapping[str, Source]) -> None:
    titles = {role: _title(role) for role in TOWERS}
    for role in TOWERS:
        if role in needed and role not in sources:
            raise CheckpointError(
                f"{sources['system'].file.path}: this {sources['system'].format.title} needs "
                f"{titles[role]}, which its file does not contain; give that file too."
            )
        if role in sources and role not in needed:
            raise CheckpointError(
                f"{sources[role].file.path}: is {sources[role].format.title}, which this "
                f"{sources['system'].format.title} does not use; leave it out."
            )


def _title(role: str) -> str:
    return next(known.title for known in FORMATS if known.role == role)


def _is_tokenizer(path: Path) -> bool:
    return path.suffix in _SENTENCEPIECE or path.name == _ADDED_TOKENS or _is_clip_tokenizer(path)


def _is_clip_tokenizer(path: Path) -> bool:
    return path.suffix in _CLIP_TOKENIZER and path.name != _ADDED_TOKENS


def _processor(
    system: System, sizes: AvsegConfig, trained: Source, tokenizers: Sequence[Path]
) -> Any:
    """Make the processor, with its tokenizer if the system reads text."""
    processor: Any = FAMILIES[sizes.model_type].processor
    models = [path for path in tokenizers if path.suffix in _SENTENCEPIECE]
    if system.tokenizer == "clip":
        return processor.from_config(sizes, _clip_tokenizer(trained, tokenizers))
    if system.tokenizer is None:
        if tokenizers:
            raise CheckpointError(
                f"{tokenizers[0]}: is of a tokenizer, and {trained.format.title} reads no text; "
                "leave it out."
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


def _clip_tokenizer(source: Source, tokenizers: Sequence[Path]) -> ImageBindTokenizer:
    """Read the tokenizer that ImageBind, and what is built on it, needs."""
    if len(tokenizers) != 1 or not _is_clip_tokenizer(tokenizers[0]):
        given = ", ".join(map(str, tokenizers)) or "none"
        raise CheckpointError(
            f"{source.file.path}: {source.format.title} needs its tokenizer, one file; got "
            f"{given}. Give bpe_simple_vocab_16e6.txt.gz of its repository, or tokenizer.json of "
            "openai/clip-vit-base-patch32."
        )
    return ImageBindTokenizer.from_file(tokenizers[0])


def _hashes(source: Source) -> dict[str, str]:
    return {part.name: file_sha256(part) for part in source.file.parts}


def _check_trained_with(
    expected: Mapping[str, str],
    hashes: Mapping[str, Mapping[str, str]],
    sources: Mapping[str, Source],
) -> None:
    for role, sha256 in expected.items():
        if role in hashes and sha256 not in hashes[role].values():
            actual = ", ".join(hashes[role].values())
            raise CheckpointError(
                f"{sources[role].file.path}: is not the {sources[role].format.title} that the "
                f"checkpoint was trained with (SHA-256 {actual}, should be {sha256}); download "
                "that one."
            )


def _convert(system: System, sizes: AvsegConfig, sources: Mapping[str, Source]) -> Converted:
    """Bring all files under the model's names; of the model itself only shapes are made."""
    with torch.device("meta"):
        state = FAMILIES[sizes.model_type].model(sizes).state_dict()
    tensors: dict[str, Tensor] = {}
    for role in system.towers(sizes):
        prefix, source = TOWERS[role], sources[role]
        expected = {name: state.pop(name) for name in list(state) if name.startswith(prefix)}
        tensors |= _fit(source, TOWER_TABLES[source.format.name], expected).tensors
        _check_mel_bank(source, tensors, expected)
    trained = _fit(sources["system"], system.table(sizes), state)
    return Converted(tensors | trained.tensors, trained.unused)


def _fit(source: Source, table: KeyMap, expected: Mapping[str, Tensor]) -> Converted:
    try:
        return table.fit(source.file.tensors, expected)
    except CheckpointError as error:
        raise CheckpointError(
            f"{source.file.path}: does not fit the model's {source.format.title}: {error}. Is it "
            "the right file, and complete? For sizes that are not the published ones, give a "
            "configuration file."
        ) from error


def _check_mel_bank(
    source: Source, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> None:
    """Refuse mel filters that are not those of the configuration; the file's are used."""
    name = TOWERS["clap"] + "mel_bank"
    if name not in expected:
        return
    difference = (tensors[name].float() - expected[name]).abs().max().item()
    if difference > _MEL_TOLERANCE:
        raise CheckpointError(
            f"{source.file.path}: its mel filters differ by {difference:.1e} from those of the "
            f"configuration, at most {_MEL_TOLERANCE:.0e} is rounding; give MS-CLAP 2023's file, "
            "or a configuration with its sample rate and frequencies."
        )


def _save(converted: Converted, folder: Path) -> None:
    for name, tensors in ((WEIGHTS_FILE, converted.tensors), (UNUSED_FILE, converted.unused)):
        if tensors:
            contiguous = {key: values.contiguous() for key, values in tensors.items()}
            save_file(contiguous, folder / name, metadata={"format": "pt"})
            (folder / name).chmod(0o644)  # safetensors makes it readable by its owner only


def _describe(
    folder: Path,
    sources: Mapping[str, Source],
    converted: Converted,
    tokenizers: Sequence[Path],
) -> None:
    """Say what the model was made of, in `source.json`."""
    files = [
        (path, role, source.format.name, source.format.licence)
        for role, source in sources.items()
        for path in source.file.parts
    ]
    for path in tokenizers:
        if _is_clip_tokenizer(path):
            files.append((path, "tokenizer", "clip-bpe", _CLIP_TOKENIZER_LICENCE))
        else:
            licence = sources["system"].format.licence
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


@contextmanager
def writing(output: Path, tensors: Mapping[str, Tensor]) -> Iterator[None]:
    """Turn a full or unwritable disk into an error with a next step.

    Args:
        output: Where something is written.
        tensors: What is written; it is not begun where the disk has no room for it.

    Yields:
        Nothing.

    Raises:
        OutputError: If there is no room, or writing fails.
    """
    needed = sum(values.nbytes for values in tensors.values())
    try:
        if shutil.disk_usage(_existing_parent(output)).free < needed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301 - as the system
        yield
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{output}: cannot be written ({error}); it needs {needed / 1e9:.2f} GB. Make room, or "
            "choose another folder."
        ) from error


def _existing_parent(path: Path) -> Path:
    return next(parent for parent in path.resolve().parents if parent.exists())
