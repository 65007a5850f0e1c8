"""Tensors in, numbers out: how well masks of sounding objects agree with the true ones."""

from avseg.metrics.binary import BinaryMetrics, BinaryScores, mask_iou, strict_mask_iou
from avseg.metrics.fmeasure import FScore, f_curves
from avseg.metrics.protocols import PROTOCOLS, Protocol, ProtocolScores

__all__ = [
    "PROTOCOLS",
    "BinaryMetrics",
    "BinaryScores",
    "FScore",
    "Protocol",
    "ProtocolScores",
    "f_curves",
    "mask_iou",
    "strict_mask_iou",
]
