"""Clips made from a seed, for figures that were recorded from published code (published.json)."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SEED = 7

#: Frames of each semantic clip: AVSS's v1 clips have 5, its v2 clips 10.
SEMANTIC_FRAMES = (5, 10, 5, 5)

#: Classes of the semantic clips; 70 is the last of 71.
CLASSES = (0, 3, 12, 44, 70)


def binary_clips() -> list[tuple[Tensor, Tensor]]:
    """Generate six clips of three frames of 28 x 28 pixels, so that batches of 4 end with one of 2.

    Clip 2 is silent throughout, clip 0 and clip 4 have a silent frame, clip 3 is under-confident.
    Probabilities lie half-way between F's thresholds, so that rounding moves no pixel across.

    Returns:
        Mask logits, (3, 28, 28) float32, and ground-truth masks, bool, of each clip.
    """
    rng = np.random.default_rng(SEED)
    clips = []
    for number in range(6):
        targets = np.zeros((3, 28, 28), bool)
        for frame in range(3):
            top, left = (6 * rng.random(2)).astype(int)
            height, width = (6 + 12 * rng.random(2)).astype(int)
            targets[frame, top : top + height, left : left + width] = True
        silent = {0: [0], 2: [0, 1, 2], 4: [1]}
        targets[silent.get(number, [])] = False
        probs = 0.35 * targets + 0.6 * rng.random(targets.shape) ** (1 + number % 3)
        probs *= 0.5 if number == 3 else 1.0
        probs = (np.floor(253 * probs) + 0.5) / 254
        logits = np.log(probs / (1 - probs)).astype(np.float32)
        clips.append((torch.from_numpy(logits), torch.from_numpy(targets)))
    return clips


def semantic_clips() -> list[tuple[Tensor, Tensor]]:
    """Generate clips of 12 x 12 pixels with classes: ground truth in blocks, predictions nearby.

    Returns:
        Of each clip predicted and true classes, (T, 12, 12) int64.
    """
    rng = np.random.default_rng(SEED)
    clips = []
    for number, frames in enumerate(SEMANTIC_FRAMES):
        targets: NDArray[np.int64] = np.zeros((frames, 12, 12), np.int64)
        for frame in range(frames):
            top, left = (6 * rng.random(2)).astype(int)
            drawn = CLASSES[int(len(CLASSES) * rng.random())]
            targets[frame, top : top + 5, left : left + 6] = drawn
        classes = np.roll(targets, number, axis=2)
        wrong = rng.random(targets.shape) < 0.1
        classes[wrong] = np.array(CLASSES)[(len(CLASSES) * rng.random(wrong.sum())).astype(int)]
        clips.append((torch.from_numpy(classes), torch.from_numpy(targets)))
    return clips
