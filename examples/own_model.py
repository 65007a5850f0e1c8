"""Evaluate your own model on MS3: all protocols, the robustness tests and a report.

Draw the data first: avseg data synthesize --subset ms3 --out data --clips 4
"""

import numpy as np

import avseg


def brightness(frames: np.ndarray, audio: np.ndarray) -> np.ndarray:
    """Map frames (T, H, W, 3) uint8 and audio (S,) in [-1, 1] to probabilities (T, H, W)."""
    loud = np.abs(audio).max() > 0.01
    return loud * frames.mean(axis=-1) / 255


report = avseg.evaluate(brightness, "data", subset="ms3", output="report")
print(report.scores["j"].value, report.listening["vision_bias"])
