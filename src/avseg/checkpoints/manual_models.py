"""Published models that the user downloads by hand, and the command that imports each of them.

They are not on the Hugging Face Hub, or their weights were not found there. As in
`known_models.py`, the entries were written without downloading the files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from avseg.checkpoints.known_models import describe_size
from avseg.checkpoints.model_folder import Masks, Training, restrictions


@dataclass(frozen=True)
class ManualModel:
    """A published model to download by hand.

    Attributes:
        name: Name in the list of models, and for `start_from` in a recipe.
        what: Description in a few words.
        details: Description in one sentence.
        addresses: Address of each file to download, and where it was found.
        files: Names of the downloaded files, as `avseg import-checkpoint` needs them.
        masks: Kind of masks that the model predicts; None for a backbone, which predicts none.
        training: Data of the training.
        licence: SPDX identifier; None if the owners state no licence.
        size_bytes: Size of all files to three digits; None if not known.
        is_seen: Whether a page that offers the trained weights was seen.
        figures: Published figures, metric to value.
        figures_from: Publication of the figures.
    """

    name: str
    what: str
    details: str
    addresses: Mapping[str, str]
    files: tuple[str, ...]
    masks: Masks | None
    training: Training
    licence: str | None
    size_bytes: int | None
    is_seen: bool
    figures: Mapping[str, float] = field(default_factory=dict)
    figures_from: str | None = None

    @property
    def next_step(self) -> str:
        """Instruction to download and import the model."""
        licence = self.licence or "not stated: ask its authors"
        if restrictions([self.licence]):
            licence += ": not for commercial use"
        seen = "" if self.is_seen else "; the trained weights were not seen there"
        use = "give that folder as --model" if self.masks else "recipes then start from that folder"
        return (
            f"download {' and '.join(self.addresses)} ({describe_size(self.size_bytes)}, licence "
            f"{licence}{seen}) and import the files: avseg import-checkpoint "
            f"{' '.join(self.files)} -o {self.name}; {use}"
        )


#: List of merges of CLIP's tokenizer, in the repositories of CLIP and of ImageBind.
_MERGES = "bpe_simple_vocab_16e6.txt.gz"

_AV2T_TABLE = "arXiv:2502.16359, Table 1, rows with adapters (F: see docs/reference/models.md)"


def _av2t_sam(sam: int, subset: str, miou: float, f_score: float) -> ManualModel:
    backbone, size, version = {
        1: ("SAM", "ViT-H", "evf_sam"),
        2: ("SAM 2", "Hiera-L", "evf_sam2"),
    }[sam]
    return ManualModel(
        name=f"av2t-sam{sam}-{subset}",
        what=f"AV2T-SAM on {backbone}, trained on {subset.upper()}",
        details=(
            f"AV2T-SAM on {backbone} {size}, prompted by CLIP x CLAP, with adapters; trained on "
            f"AVSBench's {subset.upper()}. Its authors describe the repository on the Hub as one "
            "of pretrained backbones; no trained weights were seen there."
        ),
        addresses={
            "https://huggingface.co/Kyungbok/AV2T-SAM": "the README of github.com/bok-bok/AV2T-SAM",
            "https://huggingface.co/microsoft/msclap": "the Hub's page",
            "https://huggingface.co/openai/clip-vit-base-patch32": "the Hub's pages of copies",
        },
        # The authors' training code begins the name of a file with that of the training run.
        files=(
            f"*_mul_adapter_{version}_{subset}_best.pth",
            "CLAP_weights_2023.pth",
            "pytorch_model.bin",
        ),
        masks="one",
        training=Training(f"AVSBench {subset.upper()}", is_filmed=True),
        licence=None,
        size_bytes=None,
        is_seen=False,
        figures={f"{subset.upper()} mIoU": miou, f"{subset.upper()} F": f_score},
        figures_from=_AV2T_TABLE,
    )


def _tavis(subset: str, address: str, figures: Mapping[str, float]) -> ManualModel:
    return ManualModel(
        name=f"tavis-{subset}",
        what=f"TAViS at 224 pixels, trained on {subset.upper()}",
        details=(
            f"TAViS on SAM 2 Hiera-L and ImageBind, at 224 pixels; trained on AVSBench's "
            f"{subset.upper()}. ImageBind's weights, which it contains, allow no commercial use."
        ),
        addresses={
            address: "the README of github.com/Sssssuperior/TAViS",
            f"https://github.com/openai/CLIP/raw/main/clip/{_MERGES}": "CLIP's repository",
        },
        files=("model_epoch_best.pth", _MERGES),
        masks="by name",
        training=Training(f"AVSBench {subset.upper()}", is_filmed=True),
        licence="CC-BY-NC-SA-4.0",
        size_bytes=None,
        is_seen=True,
        figures=figures,
        figures_from="arXiv:2506.11436, Tables 1 and 2",
    )


#: The models to download by hand, by name.
MANUAL_MODELS: dict[str, ManualModel] = {
    model.name: model
    for model in (
        _tavis(
            "s4",
            "https://drive.google.com/file/d/1gTdAMvqHT6uK6EOI8NSAucSa1m8bVw3t",
            {"S4 mIoU": 84.8, "S4 F": 0.912},
        ),
        _tavis(
            "ms3",
            "https://pan.baidu.com/s/1pBNo0RSaO0ufu86fA9w1UQ?pwd=dm2u",
            {"MS3 mIoU": 68.2, "MS3 F": 0.759},
        ),
        _tavis(
            "v2",
            "https://drive.google.com/file/d/1seSe2_2nz-_lcdleexAdRAoWuR8jIj45",
            {"AVSS mIoU": 44.2},
        ),
        _av2t_sam(2, "s4", 86.67, 0.924),
        _av2t_sam(2, "ms3", 69.65, 0.777),
        _av2t_sam(1, "s4", 85.78, 0.919),
        _av2t_sam(1, "ms3", 65.76, 0.738),
        ManualModel(
            name="imagebind-huge",
            what="ImageBind, TAViS's backbone",
            details="ImageBind embeds audio, images and texts in one space; TAViS is built on it.",
            addresses={
                "https://dl.fbaipublicfiles.com/imagebind/imagebind_huge.pth": (
                    "the authors' code; size from its sizes in float32"
                ),
                f"https://github.com/openai/CLIP/raw/main/clip/{_MERGES}": "CLIP's repository",
            },
            files=("imagebind_huge.pth", _MERGES),
            masks=None,
            training=Training("web data", is_filmed=True),
            licence="CC-BY-NC-SA-4.0",
            size_bytes=4_800_000_000,
            is_seen=True,
        ),
    )
}
