"""Published file formats: the keys that identify a format, and the key map that converts it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from avseg.backbones.evf_sam import SamConfig
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.checkpoints.keymaps.auralsam2 import (
    AURALSAM2,
    AURALSAM2_FUSER,
    AURALSAM2_SAM2,
    AURALSAM2_TEXT,
    AURALSAM2_TEXT_FUSER,
    ROBERTA,
)
from avseg.checkpoints.keymaps.av2t_sam import PROJECTIONS, av2t_sam
from avseg.checkpoints.keymaps.clap import CLAP
from avseg.checkpoints.keymaps.clip import CLIP, CLIP_OPENAI
from avseg.checkpoints.keymaps.evf_sam import evf_sam
from avseg.checkpoints.keymaps.imagebind import IMAGEBIND
from avseg.checkpoints.keymaps.key_map import KeyMap
from avseg.checkpoints.keymaps.sam2 import SAM2, SAM2_MEMORY_ALONE
from avseg.checkpoints.keymaps.tavis import tavis
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2TextConfig
from avseg.models.av2t_sam import Av2tSamConfig
from avseg.models.evf_sam import EvfSamConfig
from avseg.models.model import AvsegConfig
from avseg.models.tavis import TavisConfig
from avseg.models.tavis.configuration import RELEASED

#: Prefix of a tower's tensors in a model, by the role of the tower's file. The file of a trained
#: system does not contain its towers, except for TAViS, whose file contains ImageBind.
TOWER_PREFIXES = {"clap": "clap.", "clip": "clip.", "imagebind": "imagebind."}

#: Prefixes of the tensors in a model that come from a file beside that of the trained system, by
#: the role of that file.
FILE_PREFIXES: dict[str, tuple[str, ...]] = {
    **{role: (prefix,) for role, prefix in TOWER_PREFIXES.items()},
    "sam2": ("sam.", "memory."),
    "roberta": ("text_encoder.",),
}

#: Key maps of SAM 2's own file, by a prefix of the tensors of the module that is loaded from it.
SAM2_KEY_MAPS = {"sam2.": SAM2.under("", "sam2."), "attention.": SAM2_MEMORY_ALONE}


@dataclass(frozen=True)
class System:
    """Conversion of a trained system's file to a model.

    Attributes:
        model_type: Model type of the family in this package.
        options: Function that returns the options of the configuration that the file determines.
        key_map: Function that returns the key map for a configuration.
        towers: Function that returns the roles of the files that a configuration needs beside the
            system's own: of its towers, or of SAM 2.
        tokenizer: Tokenizer that the model needs, "sentencepiece", "clip" or "roberta"; None for a
            model without text input.
    """

    model_type: str
    options: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    key_map: Callable[[AvsegConfig], KeyMap]
    towers: Callable[[AvsegConfig], tuple[str, ...]]
    tokenizer: Literal["sentencepiece", "clip", "roberta"] | None


@dataclass(frozen=True)
class Format:
    """A kind of published file.

    Attributes:
        name: Name in `source.json`.
        title: Name in messages.
        role: Role of the file in a model: the trained "system", a tower ("clap", "clip" or
            "imagebind"), "sam2", "roberta", or a "part" that the file of a system contains already.
        licence: SPDX identifier of the weights' licence; None if the project states none.
        key_prefixes: Prefixes that identify the format: in such a file each of them occurs.
        contains: Roles of files that such a file contains already; those files are ignored.
        system: Conversion of a trained system's file; None for other roles.
        tower_key_map: Key map of a tower's file to the names of the whole model; None for other
            roles.
    """

    name: str
    title: str
    role: str
    licence: str | None
    key_prefixes: tuple[str, ...]
    contains: tuple[str, ...] = ()
    system: System | None = None
    tower_key_map: KeyMap | None = None


def _sam_config(names: Iterable[str], prefix: str) -> SamConfig:
    is_sam2 = any(name.startswith(prefix + "image_encoder.trunk.") for name in names)
    return PromptedSam2Config() if is_sam2 else PromptedSam1Config()


def _sam_version(config: Any) -> int:
    return 1 if isinstance(config.sam_config, PromptedSam1Config) else 2


def _av2t_sam_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "sam_config": _sam_config(tensors, "model.visual_model."),
        "adapters": any(name.startswith("audio_prompt_generator.") for name in tensors),
        "features": _trained_features(tensors),
    }


def _evf_sam_options(tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    sam_config = _sam_config(tensors, "visual_model.")
    if isinstance(sam_config, PromptedSam2Config):
        return {"sam_config": sam_config}
    # All published EVF-SAM models on SAM 1 were trained with these two options.
    return {"sam_config": sam_config, "multimask": False, "keep_proportions": True}


def _trained_features(tensors: Mapping[str, Tensor]) -> str:
    """Return which projections were trained: "clip", "clap" or both, "mul".

    The authors' model always has both projections, so the keys do not show it. A bias starts at
    zero and changes in the first training step, so a projection with a bias of zeros was never
    trained.
    """
    trained = [
        tower
        for tower, (name, _) in PROJECTIONS.items()
        if (bias := tensors.get(f"projector.{name}.bias")) is not None and bias.any()
    ]
    return trained[0] if len(trained) == 1 else "mul"


def _av2t_sam_towers(config: Any) -> tuple[str, ...]:
    return tuple(tower for tower in ("clap", "clip") if config.features in (tower, "mul"))


def _av2t_sam_key_map(config: Any) -> KeyMap:
    return av2t_sam(_sam_version(config), config.features)


def _evf_sam_key_map(config: Any) -> KeyMap:
    return evf_sam(_sam_version(config)).under("", "segmenter.")


def _tavis_key_map(config: Any) -> KeyMap:
    return tavis(config.readout)


#: Known formats, by name. The format of a file is the first one of which all prefixes occur, so a
#: system comes before its parts.
FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format(
            "auralsam2-refavs",
            "AuralSAM2 for Ref-AVS",
            "system",
            "MIT",
            ("vgg.", "fusion_modules.", "text_proj."),
            system=System(
                AuralSam2TextConfig.model_type,
                lambda _: {"sam_config": PromptedSam2Config()},
                lambda _: AURALSAM2_TEXT_FUSER,
                lambda _: ("sam2", "roberta"),
                tokenizer="roberta",
            ),
        ),
        Format(
            "auralsam2-refavs-whole",
            "AuralSAM2 for Ref-AVS with SAM 2",
            "system",
            "MIT",
            ("v_model.", "aural_fuser.text_proj."),
            contains=("sam2", "roberta"),
            system=System(
                AuralSam2TextConfig.model_type,
                lambda _: {"sam_config": PromptedSam2Config()},
                lambda _: AURALSAM2_TEXT,
                lambda _: (),
                tokenizer="roberta",
            ),
        ),
        Format(
            "auralsam2",
            "AuralSAM2",
            "system",
            "MIT",
            ("vgg.", "fusion_modules."),
            system=System(
                AuralSam2Config.model_type,
                lambda _: {"sam_config": PromptedSam2Config()},
                lambda _: AURALSAM2_FUSER,
                lambda _: ("sam2",),
                tokenizer=None,
            ),
        ),
        Format(
            "auralsam2-whole",
            "AuralSAM2 with SAM 2",
            "system",
            "MIT",
            ("v_model.", "aural_fuser."),
            # Whether the published files contain SAM 2 is not known, so the catalog lists it too.
            contains=("sam2",),
            system=System(
                AuralSam2Config.model_type,
                lambda _: {"sam_config": PromptedSam2Config()},
                lambda _: AURALSAM2,
                lambda _: (),
                tokenizer=None,
            ),
        ),
        Format(
            "av2t-sam",
            "AV2T-SAM",
            "system",
            None,
            ("model.visual_model.", "projector."),
            system=System(
                Av2tSamConfig.model_type,
                _av2t_sam_options,
                _av2t_sam_key_map,
                _av2t_sam_towers,
                tokenizer=None,
            ),
        ),
        Format(
            "evf-sam",
            "EVF-SAM",
            "system",
            "Apache-2.0",
            ("visual_model.", "mm_extractor."),
            system=System(
                EvfSamConfig.model_type,
                _evf_sam_options,
                _evf_sam_key_map,
                lambda _: (),
                tokenizer="sentencepiece",
            ),
        ),
        Format(
            "tavis",
            "TAViS",
            "system",
            # The licence of ImageBind's weights, which the file contains.
            "CC-BY-NC-SA-4.0",
            ("imagebind.modality_trunks.", "audio_to_texte."),
            system=System(
                TavisConfig.model_type,
                # The file does not record with which version of the code it was trained. The
                # released code is the most probable one.
                lambda _: RELEASED | {"sam_config": PromptedSam2Config(image_size=224)},
                _tavis_key_map,
                lambda _: (),
                tokenizer="clip",
            ),
        ),
        Format(
            "clap-2023",
            "MS-CLAP 2023",
            "clap",
            "MS-PL",
            ("audio_encoder.base.htsat.",),
            tower_key_map=CLAP.under("", TOWER_PREFIXES["clap"]),
        ),
        Format(
            "clip",
            "CLIP (transformers)",
            "clip",
            "MIT",
            ("vision_model.", "visual_projection."),
            tower_key_map=CLIP.under("", TOWER_PREFIXES["clip"] + "clip."),
        ),
        Format(
            "clip-openai",
            "CLIP (OpenAI)",
            "clip",
            "MIT",
            ("visual.transformer.resblocks.",),
            tower_key_map=CLIP_OPENAI.under("", TOWER_PREFIXES["clip"] + "clip."),
        ),
        Format(
            "imagebind",
            "ImageBind",
            "imagebind",
            "CC-BY-NC-SA-4.0",
            ("modality_preprocessors.", "modality_trunks."),
            tower_key_map=IMAGEBIND.under("", TOWER_PREFIXES["imagebind"]),
        ),
        Format(
            "sam2",
            "SAM 2",
            "sam2",
            "Apache-2.0",
            ("image_encoder.trunk.",),
            # In a model; a part of a model is loaded with `SAM2_KEY_MAPS`.
            tower_key_map=AURALSAM2_SAM2,
        ),
        Format(
            "roberta",
            "RoBERTa",
            "roberta",
            "Apache-2.0",
            ("roberta.encoder.",),
            tower_key_map=ROBERTA,
        ),
        Format("sam1", "SAM", "part", "Apache-2.0", ("image_encoder.blocks.",)),
        Format("beit3", "BEiT-3", "part", "MIT", ("beit3.encoder.",)),
    )
}

#: Conversions of the trained systems' files, by the name of the format.
SYSTEMS: dict[str, System] = {
    name: known.system for name, known in FORMATS.items() if known.system is not None
}

#: Key maps of the towers' files, by the name of the format.
TOWER_KEY_MAPS: dict[str, KeyMap] = {
    name: known.tower_key_map for name, known in FORMATS.items() if known.tower_key_map is not None
}


def detect_format(keys: Iterable[str]) -> Format | None:
    """Detect the format of a published file from its keys.

    Args:
        keys: Names of the file's tensors.

    Returns:
        The format, or None if it is none of `FORMATS`.
    """
    names = list(keys)
    for known in FORMATS.values():
        if all(any(name.startswith(prefix) for name in names) for prefix in known.key_prefixes):
            return known
    return None
