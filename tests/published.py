"""Tiny checkpoints in every published format, written with the key maps read backwards."""

import gzip
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from torch import Tensor

from avseg.backbones.imagebind import ImageBind, ImageBindConfig
from avseg.backbones.sam1 import PromptedSam1Config
from avseg.checkpoints.keymaps.formats import SYSTEMS, TOWER_KEY_MAPS, TOWER_PREFIXES
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel
from avseg.models.evf_sam import EvfSamModel
from tests.models.factories import CONFIG, SAM1, randomise

#: The published models have no convolutional stems.
SAM2_CONFIG: Any = CONFIG.replace(
    beit3_config={"stem_channels": []}, clip_config={"stem_channels": []}
)
SAM1_CONFIG: Any = SAM2_CONFIG.replace(sam_config=SAM1)

#: Published tensors that no model here uses, and their shapes at a tiny size.
UNUSED_OF_SAM2 = {
    "maskmem_tpos_enc": (7, 1, 1, 8),
    "no_mem_pos_enc": (1, 1, 32),
    "no_obj_ptr": (1, 32),
    "memory_attention.layers.0.self_attn.q_proj.weight": (32, 32),
    "memory_attention.layers.0.linear1.bias": (64,),
    "memory_attention.norm.weight": (32,),
    "memory_encoder.mask_downsampler.encoder.12.bias": (32,),
    "memory_encoder.fuser.layers.0.weight": (32,),
    "memory_encoder.fuser.layers.0.dwconv.weight": (32, 1, 7, 7),
    "memory_encoder.pix_feat_proj.weight": (32, 32, 1, 1),
    "obj_ptr_proj.layers.2.bias": (32,),
    "mask_downsample.weight": (1, 1, 4, 4),
}
UNUSED_OF_CLAP = {
    "audio_encoder.base.htsat.spectrogram_extractor.stft.conv_real.weight": (4, 1, 8),
    "audio_encoder.base.htsat.layers.0.blocks.0.attn_mask": (4, 16, 16),
    "audio_encoder.base.htsat.tscam_conv.weight": (4, 32, 2, 3),
    "audio_encoder.base.htsat.head.bias": (4,),
    "caption_encoder.base.wte.weight": (4, 8),
    "logit_scale": (),
}
UNUSED_OF_CLIP = {
    "vision_model.embeddings.position_ids": (1, 17),
    "text_model.final_layer_norm.weight": (8,),
    "text_projection.weight": (24, 8),
    "logit_scale": (),
}
UNUSED_OF_CLIP_OPENAI = {
    "token_embedding.weight": (9, 8),
    "positional_embedding": (7, 8),
    "transformer.resblocks.0.ln_1.weight": (8,),
    "ln_final.weight": (8,),
    "text_projection": (8, 24),
    "logit_scale": (),
    "input_resolution": (),
    "context_length": (),
    "vocab_size": (),
}
UNUSED_OF_IMAGEBIND = {
    "modality_preprocessors.text.mask": (77, 77),
    "modality_preprocessors.depth.cls_token": (1, 1, 4),
    "modality_preprocessors.depth.depth_stem.proj.weight": (4, 1, 16, 16),
    "modality_preprocessors.thermal.pos_embedding_helper.pos_embed": (1, 5, 4),
    "modality_preprocessors.thermal.rgbt_stem.norm_layer.bias": (4,),
    "modality_preprocessors.imu.pos_embed": (1, 5, 4),
    "modality_preprocessors.imu.imu_stem.proj.weight": (4, 6),
    "modality_trunks.depth.blocks.0.attn.in_proj_weight": (12, 4),
    "modality_trunks.depth.blocks.11.attn.bias_k": (1, 1, 4),
    "modality_trunks.thermal.blocks.0.attn.out_proj.bias": (4,),
    "modality_trunks.thermal.blocks.0.norm_1.weight": (4,),
    "modality_trunks.imu.blocks.5.mlp.fc2.weight": (4, 16),
    "modality_heads.depth.2.weight": (8, 4),
    "modality_heads.imu.3.weight": (8, 4),
    "modality_postprocessors.thermal.1.log_logit_scale": (),
}
_UNUSED_OF_TOWERS = {
    "clap-2023": UNUSED_OF_CLAP,
    "clip": UNUSED_OF_CLIP,
    "clip-openai": UNUSED_OF_CLIP_OPENAI,
}


def make_model(config: Av2tSamConfig = SAM2_CONFIG, seed: int = 0) -> Av2tSamModel:
    """Build a model with random weights."""
    torch.manual_seed(seed)
    model = Av2tSamModel(config)
    randomise(model, seed)
    # Two copies of one published constant.
    state = model.state_dict()
    first, second = (values for name, values in state.items() if "positional_embedding" in name)
    second.copy_(first)
    return model.train(mode=False)


def some(shapes: dict[str, tuple[int, ...]], prefix: str = "") -> dict[str, Tensor]:
    """Return random tensors under the names."""
    return {prefix + name: torch.randn(shape) for name, shape in shapes.items()}


def published_system(model: Av2tSamModel) -> dict[str, Tensor]:
    """Return a model's state dict in the format of AV2T-SAM's authors."""
    config: Any = model.config
    state = {
        name: values
        for name, values in model.state_dict().items()
        if not name.startswith(tuple(TOWER_PREFIXES.values()))
    }
    published = SYSTEMS["av2t-sam"].key_map(config).to_published(state)
    if not isinstance(config.sam_config, PromptedSam1Config):
        published |= some(UNUSED_OF_SAM2, "model.visual_model.")
    mask_token = torch.randn(1, 1, config.beit3_config.dim)
    published["model.mm_extractor.beit3.vision_embed.mask_token"] = mask_token
    for name, width in (("audio_proj", 20), ("vision_proj", 24)):
        if (
            f"projector.{name}.weight" not in published
        ):  # their model always has it, and does not train it
            published[f"projector.{name}.weight"] = torch.randn(config.fused_dim, width)
            published[f"projector.{name}.bias"] = torch.zeros(config.fused_dim)
    return published


def published_tower(model: Av2tSamModel, file_format: str) -> dict[str, Tensor]:
    """Return a tower's state dict in a published format ("clap-2023", "clip", ...)."""
    prefix = TOWER_PREFIXES[file_format[:4]]
    state = {name: values for name, values in model.state_dict().items() if name.startswith(prefix)}
    published = TOWER_KEY_MAPS[file_format].to_published(state)
    return published | some(_UNUSED_OF_TOWERS[file_format])


def write_published(model: Av2tSamModel, folder: Path) -> list[Path]:
    """Write a model as the three files it would be published in."""
    folder.mkdir(parents=True, exist_ok=True)
    system, clap, clip = (folder / name for name in ("av2t.pth", "clap.pth", "clip.bin"))
    torch.save(published_system(model), system)
    torch.save({"model": published_tower(model, "clap-2023")}, clap)
    torch.save(published_tower(model, "clip"), clip)
    files = {"clap": [clap], "clip": [clip]}
    towers = SYSTEMS["av2t-sam"].towers(model.config)
    return [system, *(path for role in towers for path in files[role])]


def write_config(config: Av2tSamConfig, folder: Path) -> Path:
    """Write the sizes to a configuration file, since tiny files do not have the published ones."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "config.json"
    config.to_json_file(path)
    return path


def published_evf_sam(model: EvfSamModel) -> dict[str, Tensor]:
    """Return a model's state dict in the format of EVF-SAM's authors."""
    config: Any = model.config
    published = SYSTEMS["evf-sam"].key_map(config).to_published(model.state_dict())
    mask_token = torch.randn(1, 1, config.beit3_config.dim)
    return published | {"mm_extractor.beit3.vision_embed.mask_token": mask_token}


def write_tokenizer(folder: Path) -> Path:
    """Write a SentencePiece model of a few words, as it is published beside EVF-SAM's weights."""
    path = folder / "sentencepiece.bpe.model"
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["the dog on the left", "two black cats"] * 3),
            model_writer=file,
            model_type="unigram",
            normalization_rule_name="nmt_nfkc",
            vocab_size=40,
            hard_vocab_limit=False,
            num_threads=1,
            minloglevel=2,
        )
    return path


#: A small ImageBind without stems, as the published one.
IMAGEBIND_CONFIG = ImageBindConfig(
    vision={"image_size": 28, "width": 8, "blocks": 2, "heads": 2},
    audio={"width": 8, "blocks": 2, "heads": 2},
    text={"vocab": 519, "width": 8, "blocks": 2, "heads": 2},
    dim=8,
)


def published_imagebind(model: ImageBind) -> dict[str, Tensor]:
    """Return a model's state dict in the format of ImageBind's authors."""
    state = {
        TOWER_PREFIXES["imagebind"] + name: values for name, values in model.state_dict().items()
    }
    return TOWER_KEY_MAPS["imagebind"].to_published(state) | some(UNUSED_OF_IMAGEBIND)


def write_imagebind(model: ImageBind, folder: Path) -> list[Path]:
    """Write a model and its tokenizer as the two files they would be published in."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "imagebind_huge.pth"
    torch.save(published_imagebind(model), weights)
    return [weights, write_clip_tokenizer(folder)]


def write_clip_tokenizer(folder: Path) -> Path:
    """Write CLIP's file of merges, with five merges, as it is beside ImageBind's code."""
    path = folder / "bpe_simple_vocab_16e6.txt.gz"
    path.write_bytes(gzip.compress(b"a title\nd o\ndo g</w>\nc a\nca t</w>\na b\n"))
    return path
