"""What others have published: where it is, how large, under which licence, with which figures.

Nothing here was downloaded to find out. Where a file's name, size or hash comes from is said beside
it; what nobody could look up is None, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Part:
    """A published file that a model is made of.

    Attributes:
        repository: On the Hugging Face Hub, owner/name.
        file: Its name there. May be a pattern (`*`), where the name is only known in part.
        name_from: How the name is known.
        licence: SPDX identifier; None where its owners state none.
        size_bytes: To three digits, as the Hub shows it; None where not known.
        sha256: Of the file, 64 hexadecimal digits; None where not known.
        revision: Branch or commit of the repository.
    """

    repository: str
    file: str
    name_from: str
    licence: str | None
    size_bytes: int | None = None
    sha256: str | None = None
    revision: str = "main"


@dataclass(frozen=True)
class Release:
    """A published model.

    Attributes:
        name: What users call it.
        what: What it is, in a few words.
        parts: Its files.
        figures: Measure to value, as published.
        figures_from: Where the figures are published.
        options: Of its configuration here, those that differ from the default and that its files
            do not tell.
    """

    name: str
    what: str
    parts: tuple[Part, ...]
    figures: Mapping[str, float] = field(default_factory=dict)
    figures_from: str | None = None
    options: Mapping[str, bool] = field(default_factory=dict)

    @property
    def licence(self) -> str | None:
        """SPDX expression for all parts together; None if the owners of one state none."""
        licences = sorted({part.licence or "" for part in self.parts})
        return None if "" in licences else " AND ".join(licences)

    @property
    def known_bytes(self) -> int:
        """Size of the parts whose size is known, together."""
        return sum(part.size_bytes or 0 for part in self.parts)

    @property
    def size_is_known(self) -> bool:
        """Whether the size of every part is known."""
        return all(part.size_bytes is not None for part in self.parts)


@dataclass(frozen=True)
class Backbone:
    """A published model that is fetched by hand and marks nothing by itself; others build on it.

    Attributes:
        name: What users call it.
        what: What it is, in a few words.
        url: Where its authors' code fetches it from.
        licence: SPDX identifier.
        size_bytes: To three digits.
        size_from: How the size is known.
    """

    name: str
    what: str
    url: str
    licence: str
    size_bytes: int
    size_from: str

    @property
    def next_step(self) -> str:
        """How to get it and what to do with it."""
        return (
            f"fetch {self.url} ({describe_size(self.size_bytes)}, licence {self.licence}: not for "
            "commercial use) and import it with its tokenizer: avseg import-checkpoint "
            "imagebind_huge.pth bpe_simple_vocab_16e6.txt.gz -o imagebind-huge; recipes then start "
            "from that folder"
        )


#: By name. No model here is on the Hub, so none is downloaded by itself.
BACKBONES = {
    "imagebind-huge": Backbone(
        name="imagebind-huge",
        what="ImageBind: sound, pictures and texts in one space; TAViS is built on it",
        url="https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth",
        licence="CC-BY-NC-SA-4.0",
        size_bytes=4_800_000_000,
        size_from="the sizes of the authors' code, in float32",
    )
}

#: The towers that every AV2T-SAM listens and looks with; its own file does not hold them.
_CLAP = Part(
    repository="microsoft/msclap",
    file="CLAP_weights_2023.pth",
    name_from="the Hub's page",
    licence="MS-PL",  # as the Hub's page says; the code is under MIT
    size_bytes=690_000_000,
)
_CLIP = Part(
    repository="openai/clip-vit-base-patch32",
    file="pytorch_model.bin",
    name_from="the Hub's pages of copies of the repository",
    licence="MIT",  # of the code that it was published with
    size_bytes=605_000_000,
    sha256="a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
    revision="3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268",
)
#: The authors state no licence, neither in their code's repository nor in its README. Their
#: training code names a file after the run, so that only the end of the name is known.
_AV2T = Part(
    repository="Kyungbok/AV2T-SAM",
    file="",
    name_from="the authors' training code; not seen on the Hub",
    licence=None,
)
_SAM2 = Part(
    repository="facebook/sam2-hiera-large",
    file="sam2_hiera_large.pt",
    name_from="the Hub's page",
    licence="Apache-2.0",
)
#: Towers and SAM 2 alone, by the name that a recipe may start from.
TOWER_FILES = {"msclap-2023": _CLAP, "clip-vit-base-patch32": _CLIP, "sam2-hiera-large": _SAM2}
_TOKENIZER = Part(
    repository="",
    file="sentencepiece.bpe.model",
    name_from="the Hub's page",
    licence="Apache-2.0",
    size_bytes=1_360_000,
)
#: Of the multitask models: the word "[semantic]".
_ADDED_TOKENS = replace(_TOKENIZER, file="added_tokens.json", size_bytes=26)

_TABLE_1 = "arXiv:2502.16359, Table 1, rows with adapters (F: see docs/reference/models.md)"
_EVF_README = "RES score, the reference score in the README of github.com/hustvl/EVF-SAM"


def _av2t_sam(sam: int, subset: str, miou: float, f_score: float) -> Release:
    backbone, version = {1: ("SAM ViT-H", "evf_sam"), 2: ("SAM 2 Hiera-L", "evf_sam2")}[sam]
    data = {"s4": "s4", "ms3": "m*3"}[subset]  # the code takes "ms3", its README says "m3"
    return Release(
        name=f"av2t-sam{sam}-{subset}",
        what=f"AV2T-SAM on {backbone}, CLIP x CLAP, adapters; trained on {subset.upper()}",
        parts=(replace(_AV2T, file=f"*mul_adapter_{version}_{data}_best.pth"), _CLAP, _CLIP),
        figures={f"{subset.upper()} mIoU": miou, f"{subset.upper()} F": f_score},
        figures_from=_TABLE_1,
    )


def _evf_sam(name: str, what: str, weights: Part, score: float, **options: bool) -> Release:
    tokenizer = [_TOKENIZER, _ADDED_TOKENS] if name.endswith("multitask") else [_TOKENIZER]
    return Release(
        name=name,
        what=f"EVF-SAM on {what}; text prompts",
        parts=tuple(
            replace(part, repository=f"YxZhang/{name}", name_from=weights.name_from)
            for part in (weights, *tokenizer)
        ),
        figures={"RES score": score},
        figures_from=_EVF_README,
        options=options,
    )


_EVF_SAM_1 = Part(
    repository="",
    file="pytorch_model.bin",
    name_from="the Hub's page",
    licence="Apache-2.0",
    size_bytes=2_630_000_000,
)
_EVF_SAM_2 = replace(_EVF_SAM_1, file="model.safetensors", size_bytes=3_150_000_000)
_EVF_SAM_2_UNSEEN = replace(_EVF_SAM_2, name_from="as in YxZhang/evf-sam2", size_bytes=None)
#: The published models, by name.
RELEASES: dict[str, Release] = {
    release.name: release
    for release in (
        _av2t_sam(2, "s4", 86.67, 0.924),
        _av2t_sam(2, "ms3", 69.65, 0.777),
        _av2t_sam(1, "s4", 85.78, 0.919),
        _av2t_sam(1, "ms3", 65.76, 0.738),
        _evf_sam("evf-sam2-multitask", "SAM 2 Hiera-L, multitask", _EVF_SAM_2_UNSEEN, 83.2),
        # Trained before the multitask models, on the single mask; its file does not tell.
        _evf_sam("evf-sam2", "SAM 2 Hiera-L", _EVF_SAM_2, 83.6, multimask=False),
        _evf_sam("evf-sam-multitask", "SAM ViT-H, multitask", _EVF_SAM_1, 84.2),
        _evf_sam("evf-sam", "SAM ViT-H", _EVF_SAM_1, 83.7),
    )
}


def describe_size(size_bytes: int | None) -> str:
    """Write a size for people.

    Args:
        size_bytes: The size; None where it is not known.

    Returns:
        Such as "3.15 GB", "690 MB", "size not known".
    """
    if size_bytes is None:
        return "size not known"
    units = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes"))
    scale, unit = next((scale, unit) for scale, unit in units if size_bytes >= scale or scale == 1)
    return f"{size_bytes / scale:.3g} {unit}"
