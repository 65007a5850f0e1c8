"""How much time and memory does a frame need with each system at its published size?

    python benchmarks/systems_side_by_side.py [--systems tavis,av2t-sam2,...]
        [--tasks forward,train_step]

Random weights, one frame with its audio, float32, frozen towers included. TAViS at 224 pixels with
71 names; AV2T-SAM (product of CLIP and CLAP, adapters) on SAM 2 and on SAM 1 at 1024 pixels;
AuralSAM2; EVF-SAM on SAM 2 and SAM 3 with one text; the cascades with 70 names, of which three fit
the audio, and five boxes, or all instances of SAM 3, for each of them; and the two small models of
the package with their own weights. Each measurement runs in a new process, one after the other. The
script prints a line of JSON for each with:

- processor time of all threads, and the peak of resident memory after the model is loaded.
- the size of the weights, and of a cascade the number of prompts.
- for TAViS and AV2T-SAM the operations of matrix products and convolutions, in total and for the
  parts of TAViS. They are counted on the meta device; in a training step without the recomputed
  ones. What the other systems compute depends on values, which meta tensors do not have.

A training step, of TAViS and AV2T-SAM only, is forward, backward and AdamW. For AV2T-SAM, the first
blocks of the image encoder are recomputed in the backward pass to save memory; `SYSTEMS` has their
number. Models with a vocabulary encode their names once for all frames, so that time is measured
separately, and so is a forward pass of TAViS that predicts masks without names.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from _cost import counted_without_values, matrix_rate, measure
from _material import circumstances
from open_cascade_cost import PE_A_FRAME_BASE, SAM2_TINY
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers.initialization import no_init_weights

from avseg.allocator import reuse_freed_memory
from avseg.backbones import PromptedSam1Config, PromptedSam2Config
from avseg.backbones.box_segmenter import BoxSegmenterConfig
from avseg.backbones.clap_namer import ClapNamerConfig
from avseg.backbones.evf_sam_segmenter import EvfSamSegmenterConfig
from avseg.backbones.laion_clap import LaionClapConfig
from avseg.backbones.pe_a_frame import PeAFrameConfig
from avseg.backbones.sam3 import Sam3SegmenterConfig
from avseg.backbones.text_detectors import GroundingDinoDetectorConfig, Owlv2DetectorConfig
from avseg.cli.main import TRAINING_LIMIT
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2Model
from avseg.models.av2t_sam import Av2tSamConfig, Av2tSamModel
from avseg.models.cascade import CascadeConfig, CascadeModel
from avseg.models.evf_sam import EvfSamConfig, EvfSamModel
from avseg.models.sam3 import Sam3TextConfig, Sam3TextModel
from avseg.models.tavis import TavisConfig, TavisModel
from avseg.models.tavis.bridge import EncodedNames
from avseg.segmenter import load_segmenter
from avseg.types import Clip

NAMES = 71
CASCADE_NAMES = 70
TASKS = ("forward", "train_step")


@dataclass(frozen=True)
class System:
    """A system at its published size.

    Args:
        build: Function that builds the model.
        inputs: Function that generates the inputs of a model for one frame with its audio.
        recomputed_blocks: Number of image encoder blocks that a training step recomputes.
        is_counted: Whether its operations can be counted on the meta device, and its training step
            is measured.
        is_packaged: Whether it is a model of the package, with trained weights.
    """

    build: Callable[[], nn.Module]
    inputs: Callable[[Any], dict[str, Tensor]]
    recomputed_blocks: int = 0
    is_counted: bool = False
    is_packaged: bool = False


def main() -> None:
    """Run each task with each system and print the measurements."""
    options = parse()
    if options.system:
        print(json.dumps(run(SYSTEMS[options.system], options.task)))
        return
    for task in options.tasks.split(","):
        for system in options.systems.split(","):
            if task == "train_step" and not SYSTEMS[system].is_counted:
                continue
            command = [sys.executable, __file__, "--system", system, "--task", task]
            out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - this file
            print(system, task, out.strip(), flush=True)
    print(json.dumps(circumstances()))


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--system", choices=tuple(SYSTEMS), help=argparse.SUPPRESS)
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    return parser.parse_args()


def run(system: System, task: str) -> dict[str, Any]:
    """Count the operations of one task, then run and measure it."""
    reuse_freed_memory(TRAINING_LIMIT if task == "train_step" else None)
    operations = count(system, task) if system.is_counted else {}
    if system.is_packaged:
        model: Any = system.build()
    else:
        with no_init_weights():
            model = system.build()
        fill(model)
    clip = system.inputs(model)
    found: dict[str, Any] = {}
    if operations:
        found["gflop"] = {part: round(number / 1e9, 1) for part, number in operations.items()}
    found |= measure_names(model, clip)
    if task == "forward":
        model.eval()
        with torch.no_grad():
            if isinstance(model, TavisModel):
                alone, _ = measure(lambda: model.predict_masks(**clip), "cpu")
                found["masks_alone"] = {"cpu_s": alone.cpu_s}
            cost, outputs = measure(lambda: model(**clip), "cpu")
            if isinstance(model, CascadeModel):
                found["prompts"] = len(outputs.frame_index)
    else:
        model.train()
        if system.recomputed_blocks:
            sam = model.segmenter.sam
            sam.gradient_checkpointing, sam.recomputed_blocks = True, system.recomputed_blocks
        targets = (torch.rand(1, 1, 224, 224) > 0.7).long()
        cost, _ = measure(lambda: step(model, clip | {"targets": targets}), "cpu")
    weights = sum(4 * values.numel() for values in model.state_dict().values())
    found |= asdict(cost) | {"weights_gb": round(weights / 1e9, 2)}
    if operations:
        rate = matrix_rate(torch.device("cpu"), torch.float32)
        found["matmul_gflop_per_s"] = round(rate / 1e9)
        found["floor_share"] = round(operations["all"] / rate / cost.cpu_s, 2)
    return found


@torch.no_grad()
def measure_names(model: Any, clip: dict[str, Tensor]) -> dict[str, Any]:
    """Measure the encoding of the names of a model with a vocabulary; a cascade caches them."""
    if isinstance(model, TavisModel):
        return {"names": asdict(measure(lambda: model.encode_names(clip["name_ids"]), "cpu")[0])}
    if isinstance(model, CascadeModel):
        names = {name: clip[name] for name in model.namer.text_inputs}
        return {"names": asdict(measure(lambda: model._embed_names(names), "cpu")[0])}
    return {}


def step(model: Any, clip: dict[str, Tensor]) -> None:
    """Run one training step: forward, backward and AdamW."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=3e-5)
    model(**clip).loss.backward()
    optimizer.step()


def fill(model: nn.Module) -> None:
    """Fill a model with random weights that keep the scale of activations from layer to layer."""
    with torch.no_grad():
        for name, values in model.state_dict().items():
            if not values.is_floating_point() or "log_scale" in name:
                continue
            if values.ndim > 1:
                values.uniform_(-1, 1).mul_((3 / values[0].numel()) ** 0.5)
            elif name.endswith(("weight", "running_var")):
                values.fill_(1)
            else:
                values.zero_()


def count(system: System, task: str) -> dict[str, int]:
    """Count the operations of a task on the meta device.

    The matching and naming of TAViS depend on values, which meta tensors do not have, and are no
    matrix products. So TAViS is counted up to the masks and similarities that they start from.

    Args:
        system: The system.
        task: "forward" or "train_step".

    Returns:
        Operations in total ("all"), and of each part of TAViS.
    """
    parts: dict[str, int] = {}
    with torch.device("meta"):
        model: Any = system.build()
        clip = system.inputs(model)
    if task == "forward":
        model.requires_grad_(False)
    with counted_without_values() as counter:
        if isinstance(model, TavisModel):
            outputs = count_tavis(model, clip, parts)
        else:
            outputs = model(**clip).mask_logits.sum()
        if task == "train_step":
            forward = counter.get_total_flops()
            outputs.backward()
            parts["backward"] = counter.get_total_flops() - forward
    return {"all": counter.get_total_flops()} | parts


def count_tavis(model: TavisModel, clip: dict[str, Tensor], parts: dict[str, int]) -> Tensor:
    """Run TAViS without matching and naming, and count the operations of each part."""

    def counted(part: str, call: Callable[..., Any], *arguments: Any) -> Any:
        with FlopCounterMode(display=False) as counter:
            result = call(*arguments)
        parts[part] = counter.get_total_flops()
        return result

    frames, sounds = clip["pixel_values"].flatten(0, 1), clip["audio_values"].flatten(0, 1)
    config = model.config.imagebind_config
    names = EncodedNames(
        clip["name_ids"],
        states=torch.empty(NAMES, config.text.width, device="meta"),
        embeddings=torch.empty(NAMES, config.dim, device="meta"),
    )
    sound, picture_cls = counted(
        "ImageBind of audio and frame", model.encode_inputs, frames, sounds
    )
    prompts = counted("prompts", model.build_prompts, sound, picture_cls)
    masks = counted("SAM 2", model.decode_masks, frames, sound, prompts, (1, 1), None)
    by_sound = model.bridge.compare_audio(prompts.objects, names)
    queries = masks.logits[:, :-1]
    by_picture = counted(
        "ImageBind of the masked frames", model.bridge.compare_images, frames, queries, names
    )
    results = (masks.logits, by_sound, by_picture, prompts.pseudo_text)
    return torch.stack([values.sum() for values in results]).sum()


def tavis_inputs(model: TavisModel) -> dict[str, Tensor]:
    """Generate one frame with its audio, and names about as long as AVSBench's."""
    audio = model.config.imagebind_config.audio
    ids = torch.zeros(NAMES, 77, dtype=torch.int64)
    ids[:, :6] = torch.arange(1, 7)  # start, "A", three tokens, end (the highest ID)
    return {
        "pixel_values": torch.rand(1, 1, 3, 224, 224),
        "audio_values": torch.randn(1, 1, 1, audio.mel_bins, audio.target_length),
        "name_ids": ids,
    }


def av2t_inputs(model: Av2tSamModel) -> dict[str, Tensor]:
    """Generate one frame with its audio window."""
    config = model.config
    return {
        "pixel_values_sam": torch.randn(1, 1, 3, 1024, 1024),
        "pixel_values_beit3": torch.rand(1, 1, 3, 224, 224) * 2 - 1,
        "pixel_values_clip": torch.randn(1, 1, 3, 224, 224),
        "audio_values": torch.randn(1, 1, round(config.window_s * config.clap_config.sample_rate)),
    }


def auralsam2_inputs(model: AuralSam2Model) -> dict[str, Tensor]:
    """Generate one frame, and the spectrograms of its left and right audio."""
    side, vggish = model.config.sam_config.image_size, model.config.vggish_config
    return {
        "pixel_values": torch.randn(1, 1, 3, side, side),
        "audio_values": torch.randn(1, 1, 2, vggish.columns, vggish.mel_bins),
    }


def evf_sam_inputs(_: EvfSamModel) -> dict[str, Tensor]:
    """Generate one frame and a text of five tokens."""
    return {
        "pixel_values_sam": torch.randn(1, 3, 1024, 1024),
        "pixel_values_beit3": torch.rand(1, 3, 224, 224) * 2 - 1,
        "input_ids": tokens(1, 5, 0, 2),
        "attention_mask": torch.ones(1, 5, dtype=torch.bool),
        "image_index": torch.zeros(1, dtype=torch.int64),
    }


def sam3_inputs(_: Sam3TextModel) -> dict[str, Tensor]:
    """Generate one frame and a text of five tokens."""
    return {
        "pixel_values_sam3": torch.randn(1, 3, 1008, 1008),
        "prompt_ids": tokens(1, 5, *CLIP_ENDS),
        "prompt_mask": torch.ones(1, 5, dtype=torch.bool),
        "image_index": torch.zeros(1, dtype=torch.int64),
    }


def cascade_inputs(model: CascadeModel) -> dict[str, Tensor]:
    """Generate one frame of 1280 x 720 with its audio, and names of six tokens."""
    namer, segmenter = model.config.namer_config, model.config.segmenter_config
    samples = round(model.config.window_s * namer.sample_rate)
    of_namer = {
        ClapNamerConfig: {
            "audio_values": 0.1 * torch.randn(1, 1, samples),
            "sound_ids": tokens(CASCADE_NAMES, 6, 50256, 50256),
        },
        PeAFrameConfig: {
            "audio_values": 0.1 * torch.randn(1, 1, samples),
            "sound_ids": tokens(CASCADE_NAMES, 6, 50281, 50282),
        },
        LaionClapConfig: {
            "audio_features": torch.randn(1, 1, 1, 1001, 64),
            "sound_ids": tokens(CASCADE_NAMES, 6, 0, 2),
        },
    }[type(namer)]
    detector = getattr(segmenter, "detector_config", segmenter)
    square = torch.randn(1, 1, 3, 1024, 1024)
    of_segmenter = {
        EvfSamSegmenterConfig: {
            "pixel_values_sam": square,
            "pixel_values_beit3": torch.rand(1, 1, 3, 224, 224) * 2 - 1,
            "prompt_ids": tokens(CASCADE_NAMES, 5, 0, 2),
        },
        GroundingDinoDetectorConfig: {
            "pixel_values_sam": square,
            "pixel_values_detector": torch.randn(1, 1, 3, 750, 1333),
            "frame_size": torch.tensor([[[720, 1280]]]),
            "prompt_ids": torch.tensor([[101, 3899, 1012, 102]]).repeat(CASCADE_NAMES, 1),
        },
        Owlv2DetectorConfig: {
            "pixel_values_sam": square,
            "pixel_values_detector": torch.randn(1, 1, 3, 960, 960),
            "frame_size": torch.tensor([[[720, 1280]]]),
            "prompt_ids": tokens(CASCADE_NAMES, 8, *CLIP_ENDS),
        },
        Sam3SegmenterConfig: {
            "pixel_values_sam3": torch.randn(1, 1, 3, 1008, 1008),
            "prompt_ids": tokens(CASCADE_NAMES, 5, *CLIP_ENDS),
        },
    }[type(detector)]
    inputs = of_namer | of_segmenter
    masks = {"sound_mask": "sound_ids", "prompt_mask": "prompt_ids"}
    inputs |= {mask: torch.ones_like(inputs[ids], dtype=torch.bool) for mask, ids in masks.items()}
    if isinstance(namer, ClapNamerConfig):
        del inputs["sound_mask"]
    return inputs


def tokens(texts: int, length: int, start: int, end: int) -> Tensor:
    """Generate token ids of texts with a start and an end token."""
    ids = torch.randint(1000, 5000, (texts, length))
    ids[:, 0], ids[:, -1] = start, end
    return ids


def cascade(namer: Any, segmenter: Any, window_s: float) -> System:
    """Describe a cascade that selects three names and accepts every box."""
    config = CascadeConfig(
        namer_config=namer,
        segmenter_config=segmenter,
        window_s=window_s,
        min_score=-1.0,
        min_share=0.0,
    )
    return System(lambda: CascadeModel(config), cascade_inputs)


def small(name: str) -> System:
    """Describe a model of the package; its inputs are those of its processor."""

    def inputs(_: Any) -> dict[str, Tensor]:
        processor = load_segmenter(name, "cpu").processor
        rate, random = processor.sample_rate, np.random.default_rng(0)
        times = np.array([1.5])
        clip = Clip(
            "noise",
            random.integers(0, 256, (1, 720, 1280, 3), dtype=np.uint8),
            times,
            times,
            random.normal(0, 0.1, 3 * rate).astype(np.float32),
            0.0,
            rate,
        )
        return processor(clip)

    return System(lambda: load_segmenter(name, "cpu").model, inputs, is_packaged=True)


#: Start and end token of CLIP's texts, also those of OWLv2 and SAM 3.
CLIP_ENDS = (49406, 49407)
OWLV2 = Owlv2DetectorConfig(
    owlv2_config={"vision_config": {"image_size": 960, "patch_size": 16}, "projection_dim": 512}
)
PE_A_FRAME = PeAFrameConfig(pe_audio_config=PE_A_FRAME_BASE)


def boxes(detector: Any) -> BoxSegmenterConfig:
    """Return a segmenter of boxes that accepts every box."""
    return BoxSegmenterConfig(detector_config=detector, sam_config=SAM2_TINY, min_box_score=0.0)


SYSTEMS = {
    "av2t-sam-small": small("av2t-sam-small"),
    "tavis-small": small("tavis-small"),
    "open-cascade": cascade(PE_A_FRAME, boxes(GroundingDinoDetectorConfig()), 2.0),
    "open-cascade-light": cascade(LaionClapConfig(), boxes(OWLV2), 2.0),
    # By random weights no instance exceeds SAM 3's own threshold, and a name would count as absent.
    "open-cascade-sam3": cascade(PE_A_FRAME, Sam3SegmenterConfig(min_score=0.0), 2.0),
    "cascade": cascade(ClapNamerConfig(), EvfSamSegmenterConfig(), 1.0),
    "auralsam2": System(lambda: AuralSam2Model(AuralSam2Config()), auralsam2_inputs),
    "tavis": System(lambda: TavisModel(TavisConfig()), tavis_inputs, is_counted=True),
    "av2t-sam2": System(
        lambda: Av2tSamModel(Av2tSamConfig(sam_config=PromptedSam2Config())),
        av2t_inputs,
        14,
        is_counted=True,
    ),
    "av2t-sam1": System(
        lambda: Av2tSamModel(Av2tSamConfig(sam_config=PromptedSam1Config())),
        av2t_inputs,
        32,
        is_counted=True,
    ),
    "evf-sam2": System(lambda: EvfSamModel(EvfSamConfig()), evf_sam_inputs),
    "sam3": System(lambda: Sam3TextModel(Sam3TextConfig()), sam3_inputs),
}

if __name__ == "__main__":
    main()
