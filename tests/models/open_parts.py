"""Tiny random networks of the open cascade, and the files in which they would be published."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel
from tokenizers.trainers import BpeTrainer
from torch import nn
from transformers import (
    ClapConfig,
    ClapModel,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
    PeAudioConfig,
    PeAudioFrameLevelModel,
    PreTrainedTokenizerFast,
    RobertaTokenizer,
    Sam2Model,
    Sam3Config,
    Sam3Model,
)

from avseg.backbones.box_segmenter import BoxSegmenterConfig
from avseg.backbones.laion_clap import LaionClapConfig
from avseg.backbones.pe_a_frame import PeAFrameConfig
from avseg.backbones.sam3 import Sam3SegmenterConfig
from avseg.backbones.text_detectors import GroundingDinoDetectorConfig, Owlv2DetectorConfig
from avseg.models.av2t_sam import Av2tSam3Config
from avseg.models.cascade import CascadeConfig
from avseg.models.vocabulary import avsbench_names
from tests.models.factories import CLAP, CLIP, SAM2, randomise

#: Ids of Grounding DINO's start token, end token and full stop, which its code contains as numbers.
_START, _END, _STOP = 101, 102, 1012

PE_AUDIO = PeAudioConfig(
    text_config={
        "model_type": "modernbert",
        "vocab_size": 1030,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "cls_token_id": _START,
        "sep_token_id": _END,
        "bos_token_id": _START,
        "eos_token_id": _END,
    },
    audio_config={
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "head_dim": 16,
        "dac_config": {
            "encoder_hidden_size": 4,
            "hidden_size": 64,
            "codebook_dim": 8,
            "downsampling_ratios": [2, 8, 20],
        },
    },
)
LAION_CLAP = ClapConfig(
    text_config={
        "vocab_size": 1030,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        "bos_token_id": _START,
        "eos_token_id": _END,
    },
    audio_config={
        "window_size": 4,
        "num_mel_bins": 16,
        "spec_size": 64,
        "hidden_size": 32,
        "depths": [1, 2],
        "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
        "patch_embeds_hidden_size": 16,
    },
    projection_dim=24,
)
GROUNDING_DINO = GroundingDinoConfig(
    backbone_config={
        "model_type": "swin",
        "image_size": 64,
        "embed_dim": 8,
        "depths": [1, 1, 1, 1],
        "num_heads": [1, 1, 2, 2],
        "window_size": 4,
        "out_indices": [2, 3, 4],
    },
    text_config={
        "model_type": "bert",
        "vocab_size": 1030,
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 64,
    },
    d_model=32,
    encoder_layers=1,
    decoder_layers=2,
    encoder_ffn_dim=32,
    decoder_ffn_dim=32,
    encoder_attention_heads=2,
    decoder_attention_heads=2,
    num_queries=12,
    max_text_len=64,
)
OWLV2 = Owlv2Config(
    text_config={
        "vocab_size": 1030,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "bos_token_id": _START,
        "eos_token_id": _END,
        "pad_token_id": 0,
    },
    vision_config={
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
    },
    projection_dim=16,
)
_SAM3_DECODER = {"hidden_size": 32, "num_attention_heads": 2}
_SAM3_LAYERS = {**_SAM3_DECODER, "intermediate_size": 48}
SAM3 = Sam3Config(
    vision_config={
        "backbone_config": {
            "model_type": "sam3_vit_model",
            **_SAM3_LAYERS,
            "num_hidden_layers": 2,
            "image_size": 56,
            "patch_size": 14,
            "window_size": 2,
            "global_attn_indexes": [1],
            "pretrain_image_size": 28,
        },
        "fpn_hidden_size": 32,
        "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
    },
    text_config={
        "model_type": "clip_text_model",
        **_SAM3_LAYERS,
        "num_hidden_layers": 1,
        "vocab_size": 1030,
        "max_position_embeddings": 16,
        "projection_dim": 16,
        "bos_token_id": _START,
        "eos_token_id": _END,
        "pad_token_id": 0,
    },
    geometry_encoder_config={**_SAM3_LAYERS, "num_layers": 1},
    detr_encoder_config={**_SAM3_LAYERS, "num_layers": 1},
    detr_decoder_config={**_SAM3_LAYERS, "num_layers": 2, "num_queries": 6},
    mask_decoder_config=_SAM3_DECODER,
)
#: 320 samples between two scores: 40 ms at 8 kHz.
NAMER = PeAFrameConfig(pe_audio_config=PE_AUDIO, sample_rate=8000)
#: 101 columns of 80 samples in a second.
CLAP_NAMER = LaionClapConfig(
    clap_config=LAION_CLAP, sample_rate=8000, n_fft=256, hop=80, fmax=3500.0, max_s=1
)
DINO_SEGMENTER = BoxSegmenterConfig(
    detector_config=GroundingDinoDetectorConfig(
        grounding_dino_config=GROUNDING_DINO, shortest_side=48, longest_side=96, max_text_tokens=16
    ),
    sam_config=SAM2,
    min_box_score=0.0,  # random weights give any score
)
OWLV2_SEGMENTER = BoxSegmenterConfig(
    detector_config=Owlv2DetectorConfig(owlv2_config=OWLV2), sam_config=SAM2, min_box_score=0.0
)
SAM3_SEGMENTER = Sam3SegmenterConfig(sam3_config=SAM3, min_score=0.0)  # random weights
BRIDGE_SAM3 = Av2tSam3Config(
    sam3_config=SAM3,
    clip_config=CLIP,
    clap_config=CLAP,
    fused_dim=16,
    adapter_dim=8,
    window_s=0.25,
)
OPEN_CASCADE = CascadeConfig(
    namer_config=NAMER,
    segmenter_config=DINO_SEGMENTER,
    window_s=0.4,
    sound_prompt="{name}",
    object_captions=True,
    min_score=0.0,
    min_share=0.0,
    max_names=2,
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Build a tokenizer of whole words, in lower case, with the special ids of BERT."""
    words = ["a", "photo", "of", "dog", "cat", "bus", "bell", "church", "ringing", "barking", "ü"]
    numbers = {"[PAD]": 0, "[UNK]": 100, "[CLS]": _START, "[SEP]": _END, ".": _STOP}
    words += sorted({word for name in avsbench_names() for word in name.split()} - {*words})
    numbers |= {word: 200 + i for i, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(numbers, unk_token="[UNK]"))  # noqa: S106 - a token, no password
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", _START), ("[SEP]", _END)]
    )
    special = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]"}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, **{f"{name}_token": token for name, token in special.items()}
    )


def train_bpe(start: str, end: str, **model: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Train byte pair encoding on AVSBench's names, with the special ids of `build_tokenizer`."""
    special = ["<pad>", *(f"<unused{i}>" for i in range(1, _START)), start, end]
    tokenizer = Tokenizer(BPE(**model))
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Whitespace() if model else pre_tokenizers.ByteLevel(add_prefix_space=True)
    )
    trainer = BpeTrainer(
        vocab_size=1000,
        special_tokens=special,
        end_of_word_suffix=model.get("end_of_word_suffix", ""),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f"a photo of a {name}" for name in avsbench_names()], trainer)
    trained = json.loads(tokenizer.to_str())["model"]
    return trained["vocab"], [(first, second) for first, second in trained["merges"]]


def write_bpe(folder: Path, vocab: dict[str, int], merges: list[tuple[str, str]]) -> None:
    """Write the files of a tokenizer in the older format, with a file for the merges."""
    (folder / "vocab.json").write_text(json.dumps(vocab))
    lines = [" ".join(merge) for merge in merges]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines]) + "\n")


def publish_clip_tokenizer(folder: Path) -> None:
    """Write CLIP's tokenizer as in OWLv2's repository, without a `tokenizer.json`."""
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocab, merges = train_bpe(start, end, end_of_word_suffix="</w>")
    write_bpe(folder, vocab, merges)
    special = {"bos_token": start, "eos_token": end, "unk_token": end, "pad_token": "<pad>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "added_tokens.json").write_text(json.dumps({start: vocab[start], end: vocab[end]}))
    described = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 16, **special}
    (folder / "tokenizer_config.json").write_text(json.dumps(described))


def publish_roberta_tokenizer(folder: Path) -> None:
    """Write RoBERTa's tokenizer as in CLAP's repository, in both formats."""
    vocab, merges = train_bpe("<s>", "</s>")
    vocab |= {"<unk>": len(vocab), "<mask>": len(vocab) + 1}
    tokenizer: Any = RobertaTokenizer  # its stub has another type for the merges
    tokenizer(vocab=vocab, merges=merges).save_pretrained(folder)
    write_bpe(folder, vocab, merges)
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(special))


def random_network(network: type[Any], config: Any) -> Any:
    """Build a network of `transformers` in which no weight is zero by initialisation."""
    torch.manual_seed(0)
    model: nn.Module = network(config)
    randomise(model)
    return model.eval()


def publish(folder: Path, network: type[Any], config: Any, **preprocessing: object) -> Path:
    """Write the files of a network as its repository on the Hub has them."""
    random_network(network, config).save_pretrained(folder)
    if network is ClapModel:
        publish_roberta_tokenizer(folder)
    elif network is Owlv2ForObjectDetection:
        publish_clip_tokenizer(folder)
    elif network is not Sam2Model:
        build_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessing))
    return folder


def publish_sam3(folder: Path) -> Path:
    """Write the files of SAM 3 as its repository on the Hub has them, with a processor of parts."""
    publish(folder, Sam3Model, SAM3)
    (folder / "preprocessor_config.json").unlink()
    options = {
        "size": {"height": 56, "width": 56},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    described = {"processor_class": "Sam3Processor", "image_processor": options}
    (folder / "processor_config.json").write_text(json.dumps(described))
    return folder


def publish_all(folder: Path) -> dict[str, Path]:
    """Write the files of all five networks of the open cascades, each in a folder of its own."""
    return {
        "clap": publish(
            folder / "clap",
            ClapModel,
            LAION_CLAP,
            feature_size=16,
            sampling_rate=8000,
            fft_window_size=256,
            hop_length=80,
            frequency_min=50,
            frequency_max=3500,
            max_length_s=1,
            top_db=None,
            padding="repeatpad",
            truncation="rand_trunc",
        ),
        "namer": publish(
            folder / "pe-a-frame",
            PeAudioFrameLevelModel,
            PE_AUDIO,
            sampling_rate=8000,
            hop_length=320,
        ),
        "dino": publish(
            folder / "dino",
            GroundingDinoForObjectDetection,
            GROUNDING_DINO,
            size={"shortest_edge": 48, "longest_edge": 96},
        ),
        "owlv2": publish(
            folder / "owlv2", Owlv2ForObjectDetection, OWLV2, size={"height": 64, "width": 64}
        ),
        "sam2": publish(folder / "sam2", Sam2Model, SAM2.to_transformers()),
    }
