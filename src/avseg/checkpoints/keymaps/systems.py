"""The trained systems that are published: what a file says of its model, and its table."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from avseg.backbones.evf_sam import SamConfig
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.keymaps.av2t_sam import PROJECTIONS, av2t_sam
from avseg.checkpoints.keymaps.clap import CLAP
from avseg.checkpoints.keymaps.clip import CLIP, CLIP_OPENAI
from avseg.checkpoints.keymaps.evf_sam import evf_sam
from avseg.checkpoints.keymaps.imagebind import IMAGEBIND
from avseg.checkpoints.keymaps.key_map import KeyMap
from avseg.checkpoints.keymaps.sam2 import SAM2, SAM2_MEMORY_ALONE
from avseg.checkpoints.keymaps.tavis import tavis
from avseg.models.av2t_sam import Av2tSamConfig
from avseg.models.evf_sam import EvfSamConfig
from avseg.models.model import AvsegConfig
from avseg.models.tavis import TavisConfig
from avseg.models.tavis.configuration import RELEASED

#: Where a model has the towers that no system's file contains.
TOWERS = {"clap": "clap.", "clip": "clip.", "imagebind": "imagebind."}

#: Tables of the towers' formats, with the whole model's names on the right.
TOWER_TABLES = {
    "clap-2023": CLAP.under("", TOWERS["clap"]),
    "clip": CLIP.under("", TOWERS["clip"] + "clip."),
    "clip-openai": CLIP_OPENAI.under("", TOWERS["clip"] + "clip."),
    "imagebind": IMAGEBIND.under("", TOWERS["imagebind"]),
}

#: Tables of SAM 2's own files, by what the names of a module that starts from one begin with.
SAM2_TABLES = {"sam2.": SAM2.under("", "sam2."), "attention.": SAM2_MEMORY_ALONE}


@dataclass(frozen=True)
class System:
    """What there is to know about the files of a trained system.

    Attributes:
        model_type: Of the model here.
        options: Options of its configuration that a file's tensors decide.
        table: Table of its names for a configuration.
        towers: Roles of the files it needs besides its own, for a configuration.
        tokenizer: Whose files it needs too: "sentencepiece" or "clip"; None if it reads no text.
    """

    model_type: str
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    table: Callable[[AvsegConfig], KeyMap]
    towers: Callable[[AvsegConfig], tuple[str, ...]]
    tokenizer: Literal["sentencepiece", "clip"] | None


def _sam_config(names: Iterable[str], prefix: str) -> SamConfig:
    is_sam2 = any(name.startswith(prefix + "image_encoder.trunk.") for name in names)
    return PromptedSam2Config() if is_sam2 else PromptedSam1Config()


def _sam(config: Any) -> int:
    return 1 if isinstance(config.sam_config, PromptedSam1Config) else 2


def _av2t_sam_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "sam_config": _sam_config(tensors, "model.visual_model."),
        "adapters": any(name.startswith("audio_prompt_generator.") for name in tensors),
        "features": _features(tensors),
    }


def _evf_sam_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    sam_config = _sam_config(tensors, "visual_model.")
    if isinstance(sam_config, PromptedSam2Config):
        return {"sam_config": sam_config}
    # All that are published on SAM 1 were trained so.
    return {"sam_config": sam_config, "multimask": False, "keep_proportions": True}


def _features(tensors: Mapping[str, Tensor]) -> str:
    """Say which projections were trained; their biases start at zero and move with the first step.

    The authors' model has both projections whatever it is trained with, so names cannot tell.
    """
    trained = [
        tower
        for tower, (name, _) in PROJECTIONS.items()
        if (bias := tensors.get(f"projector.{name}.bias")) is not None and bias.any()
    ]
    return trained[0] if len(trained) == 1 else "mul"


def _av2t_sam_towers(config: Any) -> tuple[str, ...]:
    return tuple(tower for tower in ("clap", "clip") if config.features in (tower, "mul"))


def _tavis_table(config: Any) -> KeyMap:
    return tavis(config.readout)


#: By the name of the format.
SYSTEMS = {
    "av2t-sam": System(
        Av2tSamConfig.model_type,
        _av2t_sam_options,
        lambda config: av2t_sam(_sam(config), config.features),
        _av2t_sam_towers,
        tokenizer=None,
    ),
    "evf-sam": System(
        EvfSamConfig.model_type,
        _evf_sam_options,
        lambda config: evf_sam(_sam(config)).under("", "segmenter."),
        lambda _: (),
        tokenizer="sentencepiece",
    ),
    "tavis": System(
        TavisConfig.model_type,
        # Nobody can see which state of the code the published weights come from; the released one
        # is the best guess.
        lambda _: RELEASED | {"sam_config": PromptedSam2Config(image_size=224)},
        _tavis_table,
        lambda _: (),
        tokenizer="clip",
    ),
}
