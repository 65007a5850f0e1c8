"""Tensors in, numbers out: how well masks of sounding objects agree with the true ones."""

from avseg.metrics.binary import (
    BinaryMetrics,
    BinaryScores,
    FScore,
    f_curves,
    mask_iou,
    strict_mask_iou,
)
from avseg.metrics.protocol_table import PROTOCOLS, Protocol
from avseg.metrics.protocols import ProtocolScores
from avseg.metrics.semantic import SEMANTIC_PROTOCOLS, SemanticMetrics

__all__ = [
    "PROTOCOLS",
    "SEMANTIC_PROTOCOLS",
    "BinaryMetrics",
    "BinaryScores",
    "FScore",
    "Protocol",
    "ProtocolScores",
    "SemanticMetrics",
    "f_curves",
    "mask_iou",
    "strict_mask_iou",
]
