"""What do the windows of AuralSAM2 cost, and how much do they change the masks of a film?

    python benchmarks/auralsam2_windows.py [--model FOLDER] [--video FILE]
    python benchmarks/auralsam2_windows.py --published

The fuser of AuralSAM2 fuses the frames of a window with the audio of all of them. 16 frames of a
film, four per second, are segmented with windows of fewer and fewer frames, and compared with one
window of 16: the mean absolute difference of the fused image features and of the mask logits, as a
share of their standard deviation, and the share of pixels that change sides, in the frames beside a
border of two windows and in all other frames. The memory passes a change of a mask on to the frames
after it, also across a border; fused features are computed before it. Without a folder the model is
the small one with random weights: batch norms as after training, other weights as at its start.

With `--published`, only the fuser is run, at the published size with random weights and features,
on one window of each length: no other part of the model depends on the windows.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import torch
from _cost import Cost, measure
from torch import Tensor

from avseg.media import read_clip
from avseg.models.auralsam2 import AuralSam2Config, AuralSam2Model, AuralSam2Processor
from avseg.models.auralsam2.fuser import AuralFuser

FRAMES = 16
WINDOWS = (16, 8, 4, 2, 1)
PUBLISHED_WINDOWS = (1, 2, 5, 10)


@torch.no_grad()
def main() -> None:
    """Print one line for each length of a window."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--video", type=Path, default=Path("examples/demo.mp4"))
    parser.add_argument("--published", action="store_true")
    options = parser.parse_args()
    if options.published:
        measure_fuser()
        return
    model = AuralSam2Model.from_pretrained(options.model) if options.model else build_small()
    processor = AuralSam2Processor.from_config(model.config)
    clip = read_clip(options.video, 4, processor.sample_rate, audio_channels=2)
    inputs = {name: values[:, :FRAMES] for name, values in processor(clip).items()}
    if not options.model:
        calibrate(model, inputs)
    levels = model.encode_images(inputs["pixel_values"])[::-1]
    audio = model.embed_audio(inputs["audio_values"])

    def run(frames: int) -> tuple[Tensor, Tensor, Cost]:
        model.config.window_frames = frames
        features = torch.stack([level.image for level in model.fuse_clips(levels, audio)[0]], 1)
        cost, output = measure(lambda: model(**inputs), "cpu")
        return features, output.mask_logits[0], cost

    run(FRAMES)  # warm-up
    all_features, whole, _ = run(FRAMES)
    print(f"{len(whole)} frames of {options.video}, {(whole > 0).float().mean():.1%} marked")
    print("beside a border, other frames:      features       logits       pixels")
    for frames in WINDOWS:
        features, logits, cost = run(frames)
        changes = (
            difference(features, all_features),
            difference(logits, whole),
            ((logits > 0) != (whole > 0)).flatten(1).float().mean(1),
        )
        border = find_borders(len(whole), frames)
        values = [
            f"{each[chosen].mean():6.1%}" if chosen.any() else "     -"
            for each in changes
            for chosen in (border, ~border)
        ]
        print(f"{frames:2}: {cost.cpu_s / len(whole):.3f} CPU-s, {cost.peak_gb:.2f} GB", *values)


def difference(values: Tensor, others: Tensor) -> Tensor:
    """Compute the mean absolute difference of each frame, as a share of the deviation, (T,)."""
    return (values - others).abs().flatten(1).mean(1) / others.std()


def build_small() -> AuralSam2Model:
    """Build the small model with random weights whose fusion exchanges image and audio."""
    torch.manual_seed(0)
    model = AuralSam2Model(AuralSam2Config.tiny()).eval()
    add_exchange(model.fuser)
    return model


def add_exchange(fuser: AuralFuser) -> None:
    """Set the gains with which the fusion adds audio to the image, and back, to 1."""
    # At the start of training they are 0, and windows would make no difference.
    for fusion in fuser.fusions:
        torch.nn.init.ones_(fusion.image_batch_norm.weight)
        torch.nn.init.ones_(fusion.audio_batch_norm.weight)


def calibrate(model: AuralSam2Model, inputs: dict[str, Tensor]) -> None:
    """Set the statistics of the batch norms to those of the inputs, as a training would."""
    for fusion in model.fuser.fusions:
        fusion.image_batch_norm.momentum = fusion.audio_batch_norm.momentum = 1.0
    model.fuser.train()
    levels = model.encode_images(inputs["pixel_values"])[::-1]
    model.fuser([level[0] for level in levels], model.embed_audio(inputs["audio_values"])[0])
    model.eval()


def find_borders(count: int, frames: int) -> Tensor:
    """Return which of a film's frames are beside a border of two windows, (count,) bool."""
    windows = torch.arange(count).tensor_split(-(-count // frames))
    border = torch.zeros(count, dtype=torch.bool)
    for before, after in pairwise(windows):
        border[before[-1]] = border[after[0]] = True
    return border


def measure_fuser() -> None:
    """Measure the fuser at the published size, on windows of random features."""
    torch.manual_seed(0)
    config = AuralSam2Config()
    fuser = AuralFuser(config).eval()
    add_exchange(fuser)
    width, grid = config.sam_config.prompt_dim, fuser.grid
    for frames in PUBLISHED_WINDOWS:
        levels = [torch.randn(frames, width, k * grid, k * grid) for k in (4, 2, 1)]
        audio = torch.randn(frames, width)
        cost, _ = measure(lambda window=(levels, audio): fuser(*window), "cpu")  # type: ignore[misc]
        print(f"{frames:2}: {cost.cpu_s / frames:.2f} CPU-s a frame, {cost.peak_gb:.2f} GB")


if __name__ == "__main__":
    main()
