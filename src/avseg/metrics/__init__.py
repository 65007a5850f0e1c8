"""Tensors in, numbers out: how well masks of sounding objects agree with the true ones."""

from avseg.metrics.binary import BinaryMetrics, BinaryScores, FScore, mask_iou, strict_mask_iou

__all__ = ["BinaryMetrics", "BinaryScores", "FScore", "mask_iou", "strict_mask_iou"]
