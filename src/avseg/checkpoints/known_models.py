"""Every model that has a name: repository, files, sizes, licence and published figures.

The entries of published models were written without downloading the files. Each entry states where
the name or size of a file was found. A value that was not found is None, never a guess.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from avseg.checkpoints.model_folder import Checkpoint, Masks, Training

DEFAULT_MODEL = "av2t-sam-small"

_PACKAGED_FOLDER = Path(__file__).parent / "packaged"
_DRAWN_WORLD = "SynthAVS's drawn world (moving drawings and synthesised sounds)"
_SYNTHAVS = Training("SynthAVS", is_filmed=False)

#: The models in the package, by name.
PACKAGED_MODELS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        Checkpoint(
            name=DEFAULT_MODEL,
            folder=_PACKAGED_FOLDER / DEFAULT_MODEL,
            licence="Apache-2.0",
            what="AV2T-SAM, small",
            world=_DRAWN_WORLD,
            masks="one",
            training=_SYNTHAVS,
        ),
        Checkpoint(
            name="tavis-small",
            folder=_PACKAGED_FOLDER / "tavis-small",
            licence="Apache-2.0",
            what="TAViS, small; names its sources",
            world=_DRAWN_WORLD,
            masks="by name",
            training=_SYNTHAVS,
        ),
    )
}


@dataclass(frozen=True)
class HubFile:
    """A published file on the Hugging Face Hub.

    Attributes:
        repository: Repository, owner/name.
        file: File name in the repository.
        name_from: Where the name was found.
        licence: SPDX identifier; None if the owners state no licence.
        size_bytes: Size to three digits; None if not known.
        sha256: SHA-256 of the file, 64 hexadecimal digits; None if not known.
        revision: Branch or commit of the repository.
        is_seen: Whether the file was seen on the repository's page.
        size_is_computed: Whether the size is that of the network's tensors in float32, instead of
            one that the Hub or others state.
    """

    repository: str
    file: str
    name_from: str
    licence: str | None
    size_bytes: int | None = None
    sha256: str | None = None
    revision: str = "main"
    is_seen: bool = True
    size_is_computed: bool = False

    @property
    def is_small(self) -> bool:
        """Whether the file is a configuration or a part of a tokenizer, of a few MB at most."""
        return self.file.endswith((".json", ".txt"))


@dataclass(frozen=True)
class Release:
    """A published model.

    Attributes:
        name: Name for `--model`.
        what: Description in a few words.
        files: Files that the model is made of.
        masks: Kind of masks that the model predicts.
        training: Data of the training.
        details: Description in one sentence.
        figures: Published figures, metric to value.
        figures_from: Publication of the figures.
        options: Options of the configuration that differ from the default and that the files do
            not determine.
        parts: Repository of each network that `transformers` loads: "namer", "detector" and "sam"
            of an open cascade, or "sam3"; empty for a model that one importer converts.
    """

    name: str
    what: str
    files: tuple[HubFile, ...]
    masks: Masks
    training: Training
    details: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)
    figures_from: str | None = None
    options: Mapping[str, bool | int] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def licence(self) -> str | None:
        """SPDX expression for all files together; None if the owners of one state no licence."""
        licences = sorted({file.licence or "" for file in self.files})
        return None if "" in licences else " AND ".join(licences)

    @property
    def known_bytes(self) -> int:
        """Total size of the files of known size."""
        return sum(file.size_bytes or 0 for file in self.files)

    @property
    def size_is_known(self) -> bool:
        """Whether the size of every file that is not small is known."""
        return all(file.size_bytes is not None or file.is_small for file in self.files)

    @property
    def size_is_computed(self) -> bool:
        """Whether a part of the known size was computed from the number of parameters."""
        return any(file.size_is_computed for file in self.files)

    @property
    def is_seen(self) -> bool:
        """Whether every file was seen on the page of its repository."""
        return all(file.is_seen for file in self.files)


#: Files of CLAP and CLIP, from which recipes of AV2T-SAM start.
_CLAP = HubFile(
    repository="microsoft/msclap",
    file="CLAP_weights_2023.pth",
    name_from="the Hub's page",
    # The licence on the Hub's page. The code of the project is under MIT.
    licence="MS-PL",
    size_bytes=690_000_000,
)
_CLIP = HubFile(
    repository="openai/clip-vit-base-patch32",
    file="pytorch_model.bin",
    name_from="the Hub's pages of copies of the repository",
    # The licence of the code with which the weights were published.
    licence="MIT",
    size_bytes=605_000_000,
    sha256="a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
    revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
)
_SAM2 = HubFile(
    repository="facebook/sam2-hiera-large",
    file="sam2_hiera_large.pt",
    name_from="the Hub's page",
    licence="Apache-2.0",
)
#: Files of the towers and of SAM 2, by the name that a recipe may start from.
TOWER_FILES = {"msclap-2023": _CLAP, "clip-vit-base-patch32": _CLIP, "sam2-hiera-large": _SAM2}
_TOKENIZER = HubFile(
    repository="",
    file="sentencepiece.bpe.model",
    name_from="the Hub's page",
    licence="Apache-2.0",
    size_bytes=1_360_000,
)
#: The added token "[semantic]" of the multitask models.
_ADDED_TOKENS = replace(_TOKENIZER, file="added_tokens.json", size_bytes=26)

_EVF_README = "RES score, the reference score in the README of github.com/hustvl/EVF-SAM"


def _evf_sam(
    name: str, sam: str, weights: HubFile, score: float, *, multimask: bool | None = None
) -> Release:
    is_multitask = name.endswith("multitask")
    backbone = sam.rpartition(" ")[0]
    tokenizer = [_TOKENIZER, _ADDED_TOKENS] if is_multitask else [_TOKENIZER]
    return Release(
        name=name,
        what=f"EVF-SAM on {backbone}" + (", multitask" if is_multitask else ""),
        details=(
            f"EVF-SAM on {sam}" + (", multitask" if is_multitask else "") + ": segments the "
            "objects that a text names (`avseg segment --text`)."
        ),
        files=tuple(
            replace(
                file,
                repository=f"YxZhang/{name}",
                name_from=weights.name_from,
                is_seen=weights.is_seen,
            )
            for file in (weights, *tokenizer)
        ),
        masks="by text",
        training=Training("RefCOCO", is_filmed=True),
        figures={"RES score": score},
        figures_from=_EVF_README,
        options={} if multimask is None else {"multimask": multimask},
    )


def _auralsam2_file(name: str) -> HubFile:
    return HubFile(
        repository="yyliu01/AuralSAM2",
        file=f"ckpts/auralsam2_{name}.pth",
        name_from="the authors' documentation; not seen on the Hub",
        # The licence of the authors' code.
        licence="MIT",
        is_seen=False,
    )


def _auralsam2(component: str, data: str, **options: int) -> Release:
    return Release(
        name=f"auralsam2-{component}",
        what=f"AuralSAM2 on SAM 2, trained on {data}",
        details=(
            f"AuralSAM2 on SAM 2 Hiera-L, with VGGish and memory over the frames; trained on "
            f"AVSBench's {data}."
        ),
        # The training saves the fuser with VGGish, without SAM 2.
        files=(_auralsam2_file(f"avs_{component}"), _SAM2),
        masks="one",
        training=Training(f"AVSBench {data}", is_filmed=True),
        options=options,
    )


_ROBERTA = HubFile(
    repository="distilbert/distilroberta-base",
    file="model.safetensors",
    name_from="the Hub's page",
    licence="Apache-2.0",
    size_bytes=331_000_000,
    revision="fb53ab8802853c8e4fbdbcd0529f21fc6f459b2b",
)
_AURALSAM2_REFAVS = Release(
    name="auralsam2-refavs",
    what="AuralSAM2 on SAM 2, by text and audio",
    details=(
        "AuralSAM2 on SAM 2 Hiera-L, with VGGish and DistilRoBERTa: segments the object that a "
        "text describes (`avseg segment --text`), with the audio as a second prompt."
    ),
    files=(
        _auralsam2_file("refavs_best"),
        _SAM2,
        _ROBERTA,
        replace(_ROBERTA, file="tokenizer.json", size_bytes=1_360_000),
    ),
    masks="by text",
    training=Training("Ref-AVS", is_filmed=True),
)

_EVF_SAM_1 = HubFile(
    repository="",
    file="pytorch_model.bin",
    name_from="the Hub's page",
    licence="Apache-2.0",
    size_bytes=2_630_000_000,
)
_EVF_SAM_2 = replace(_EVF_SAM_1, file="model.safetensors", size_bytes=3_150_000_000)
_EVF_SAM_2_UNSEEN = replace(
    _EVF_SAM_2, name_from="as in YxZhang/evf-sam2", size_bytes=None, is_seen=False
)


def _network(
    repository: str,
    revision: str,
    others: tuple[str, ...],
    size_bytes: int,
    sha256: str | None = None,
) -> tuple[HubFile, ...]:
    """Describe the files of a network of `transformers`; size and hash are those of the weights.

    Those who state the hash of a file have seen its size too; other sizes are computed.
    """
    config = HubFile(
        repository=repository,
        file="config.json",
        name_from="the format of transformers",
        licence="Apache-2.0",
        revision=revision,
        is_seen=False,
    )
    weights = replace(
        config,
        file="model.safetensors",
        size_bytes=size_bytes,
        sha256=sha256,
        size_is_computed=sha256 is None,
    )
    return (config, weights, *(replace(config, file=name) for name in others))


_PREPROCESSING = "preprocessor_config.json"
_JSON_TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
_BPE_TOKENIZER = ("tokenizer_config.json", "special_tokens_map.json", "vocab.json", "merges.txt")
#: Networks of the open cascades. Revisions, hashes and sizes are those that several public
#: repositories state.
_PE_A_FRAME = _network(
    "facebook/pe-a-frame-base",
    "0a320953632f45113021e4bc8a0eda74f0024a74",
    (_PREPROCESSING, *_JSON_TOKENIZER),
    2_240_000_000,  # 560.6 M parameters, by its configuration
)
_LAION_CLAP = _network(
    "laion/clap-htsat-unfused",
    # The first revision with safetensors; the branch main has a pickle only.
    "79b58ed25fc00386262a2bea4b19fd21dc4310a0",
    (_PREPROCESSING, "tokenizer.json", *_BPE_TOKENIZER),
    614_000_000,  # 153.5 M parameters
)
_GROUNDING_DINO = _network(
    "IDEA-Research/grounding-dino-tiny",
    "a2bb814dd30d776dcf7e30523b00659f4f141c71",
    (_PREPROCESSING, *_JSON_TOKENIZER),
    689_000_000,
    "1a2412ef99bd74bcd3c2a246fa1e48581f8889a1300c9051974741314fc042f3",
)
_OWLV2 = _network(
    "google/owlv2-base-patch16-ensemble",
    "cfd3195ba4ea9592eec887ded089f4c08eff231d",
    (_PREPROCESSING, "added_tokens.json", *_BPE_TOKENIZER),
    620_000_000,
    "e1e130b9e404cf91a75ad45644c1da9d7fa5284085eecc864266a6923efb99e7",
)
_SAM2_TINY = _network(
    "facebook/sam2.1-hiera-tiny",
    "de431c4043854a71d8101e17995dfe596bf101a5",
    (_PREPROCESSING,),
    156_000_000,
    "48c14467e5cf9e51870511feb72c89688e82dd74523142c0538b663e193ac2a7",
)


#: SAM 3. The size is that of the 859.9 M parameters of the published video model in float32.
_SAM3_FILES = tuple(
    replace(
        file,
        name_from="public repositories that list the files of this revision",
        licence="SAM License",
    )
    for file in _network(
        "facebook/sam3",
        "3c879f39826c281e95690f02c7821c4de09afae7",
        ("processor_config.json", "tokenizer.json", *_BPE_TOKENIZER),
        3_400_000_000,
    )
)


def _open_cascade(
    name: str, what: str, details: str, namer: tuple[HubFile, ...], *segmenter: tuple[HubFile, ...]
) -> Release:
    """Describe an open cascade by its networks: a namer, and a detector with SAM 2 or SAM 3."""
    networks = (namer, *segmenter)
    return Release(
        name=name,
        what=f"Open cascade: {what}",
        details=f"{details}, without training for this task and with any vocabulary "
        "(`--vocabulary`).",
        files=tuple(file for files in networks for file in files),
        masks="by name",
        training=Training("no AVS data", is_filmed=True),
        parts={
            role: files[0].repository
            for role, files in zip(("namer", "detector", "sam"), networks, strict=False)
        },
    )


_OPEN_CASCADE = _open_cascade(
    "open-cascade",
    "PE-A-Frame, Grounding DINO, SAM 2.1",
    "Names each sound every 40 ms (PE-A-Frame, 560 M parameters), finds the named objects "
    "(Grounding DINO tiny, 172 M) and segments them (SAM 2.1 tiny, 39 M)",
    _PE_A_FRAME,
    _GROUNDING_DINO,
    _SAM2_TINY,
)
_OPEN_CASCADE_LIGHT = _open_cascade(
    "open-cascade-light",
    "CLAP, OWLv2, SAM 2.1",
    "Names the sounds of two seconds around each frame (LAION's CLAP, 153 M parameters), finds the "
    "named objects (OWLv2 base, 155 M) and segments them (SAM 2.1 tiny, 39 M)",
    _LAION_CLAP,
    _OWLV2,
    _SAM2_TINY,
)
_OPEN_CASCADE_SAM3 = _open_cascade(
    "open-cascade-sam3",
    "PE-A-Frame, SAM 3, gated",
    "Names each sound every 40 ms (PE-A-Frame, 560 M parameters) and segments the named objects "
    "(SAM 3, 840 M, gated: log in, and accept the SAM License on its page)",
    _PE_A_FRAME,
    _SAM3_FILES,
)
_SAM3 = Release(
    name="sam3",
    what="SAM 3, gated",
    details=(
        "SAM 3 (840 M parameters; its video tracker is not used) segments all instances of the "
        "concept that a text names (`avseg segment --text`). Its repository is gated: log in, and "
        "accept the SAM License there."
    ),
    files=_SAM3_FILES,
    masks="by text",
    training=Training("SA-Co", is_filmed=True),
    parts={"sam3": _SAM3_FILES[0].repository},
)
#: The published models, by name.
RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        _OPEN_CASCADE,
        _OPEN_CASCADE_LIGHT,
        _OPEN_CASCADE_SAM3,
        _auralsam2("v1s", "S4"),
        _auralsam2("v1m", "MS3"),
        # Clips of S4 and MS3 have five frames, those of AVSS five or ten.
        _auralsam2("v2", "AVSS", window_frames=10),
        _AURALSAM2_REFAVS,
        _evf_sam("evf-sam2-multitask", "SAM 2 Hiera-L", _EVF_SAM_2_UNSEEN, 83.2),
        # Older than the multitask models and trained with the single mask. Its file does not
        # contain this option.
        _evf_sam("evf-sam2", "SAM 2 Hiera-L", _EVF_SAM_2, 83.6, multimask=False),
        _evf_sam("evf-sam-multitask", "SAM ViT-H", _EVF_SAM_1, 84.2),
        _evf_sam("evf-sam", "SAM ViT-H", _EVF_SAM_1, 83.7),
        _SAM3,
    )
}


def describe_size(size_bytes: int | None, *, is_computed: bool = False) -> str:
    """Format a size with a unit.

    Args:
        size_bytes: Size in bytes; None if it is not known.
        is_computed: Whether the size follows from the number of parameters, so that it is less
            exact.

    Returns:
        Text such as "3.15 GB", "690 MB", "size not known" or, if computed, "~3.1 GB".
    """
    if size_bytes is None:
        return "size not known"
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
    scale, unit = next((scale, unit) for scale, unit in units if size_bytes >= scale or scale == 1)
    number = size_bytes / scale
    return f"~{number:.{number < 10:d}f} {unit}" if is_computed else f"{number:.3g} {unit}"
