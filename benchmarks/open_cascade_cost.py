"""How much time and memory does one frame need with the open cascade at its published size?

python benchmarks/open_cascade_cost.py [--names N]

Random weights, float32: PE-A-Frame base on two seconds of audio, Grounding DINO tiny on a frame of
720p, SAM 2.1 tiny with five boxes for each of three names. The script prints a line of JSON for the
names, which are embedded once for a video, and one for each part of a frame.
"""

import argparse
import json
from dataclasses import asdict
from typing import Any

import torch
from _cost import measure
from _material import circumstances
from transformers import GroundingDinoConfig, PeAudioConfig
from transformers.initialization import no_init_weights

from avseg.backbones.box_segmenter import BoxSegmenterConfig
from avseg.backbones.pe_a_frame import PeAFrameConfig
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.text_detectors import GroundingDinoDetectorConfig
from avseg.models.cascade import CascadeConfig, CascadeModel

PE_A_FRAME_BASE = PeAudioConfig(
    audio_config={
        "hidden_size": 1024,
        "num_hidden_layers": 16,
        "num_attention_heads": 8,
        "intermediate_size": 2752,
    }
)
SAM2_TINY = PromptedSam2Config(
    blocks_per_stage=[1, 2, 7, 2],
    embed_dims=[96, 192, 384, 768],
    num_heads=[1, 2, 4, 8],
    window_sizes=[8, 4, 14, 7],
    global_blocks=[5, 7, 9],
)
CONFIG = CascadeConfig(
    namer_config=PeAFrameConfig(pe_audio_config=PE_A_FRAME_BASE),
    segmenter_config=BoxSegmenterConfig(
        detector_config=GroundingDinoDetectorConfig(grounding_dino_config=GroundingDinoConfig()),
        sam_config=SAM2_TINY,
        min_box_score=0.0,
    ),
    window_s=2.0,
    sound_prompt="{name}",
)


def main() -> None:
    """Build the model and measure its parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", type=int, default=70)
    names = parser.parse_args().names
    torch.manual_seed(0)
    with no_init_weights():
        model: Any = CascadeModel(CONFIG).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    print(json.dumps(circumstances()))
    weights = sum(values.numel() for values in model.parameters())
    print(json.dumps({"weights_m": round(weights / 1e6, 1)}))
    with torch.inference_mode():
        measure_parts(model, names)


def measure_parts(model: Any, names: int) -> None:
    """Print the cost of each part."""
    ids = torch.randint(1000, 5000, (names, 6))
    texts = {"sound_ids": ids, "sound_mask": torch.ones_like(ids, dtype=torch.bool)}
    show(f"{names} names", measure(lambda: model._embed_names(texts), "cpu"))
    audio = {"audio_values": 0.1 * torch.randn(1, 96000)}
    show("audio of a frame", measure(lambda: model.score_audio(audio, texts), "cpu"))
    prompts = torch.tensor([[101, 3899, 1012, 102], [101, 4937, 1012, 102], [101, 3902, 1012, 102]])
    images = {
        "pixel_values_detector": torch.randn(1, 3, 750, 1333),
        "pixel_values_sam": torch.randn(1, 3, 1024, 1024),
        "frame_size": torch.tensor([[720, 1280]]),
    }
    of_prompts = {"prompt_ids": prompts, "prompt_mask": torch.ones_like(prompts, dtype=torch.bool)}
    detector, boxes = model.segmenter.detector, torch.rand(15, 2).sort(0).values.repeat(1, 2)
    show("boxes", measure(lambda: detector.detect_objects(images, of_prompts, 0.0, 5), "cpu"))
    boxes[:, 2:] += 0.1
    sam = images["pixel_values_sam"]
    show("masks of 15 boxes", measure(lambda: model.segmenter._segment_boxes(sam, boxes), "cpu"))


def show(part: str, measured: tuple[Any, Any]) -> None:
    """Print the cost of a part."""
    print(json.dumps({"part": part, **asdict(measured[0])}), flush=True)


if __name__ == "__main__":
    main()
