"""Metrics of masks against ground truth: tensors in, numbers out."""

from avseg.metrics.binary import (
    BinaryMetrics,
    BinaryScores,
    FScore,
    f_curves,
    mask_iou,
    strict_mask_iou,
)
from avseg.metrics.boundary import boundary_f
from avseg.metrics.protocol_table import PROTOCOLS, Protocol
from avseg.metrics.protocols import (
    ProtocolScores,
    global_false_positive_rate,
    global_score,
    vision_bias,
)
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
    "boundary_f",
    "f_curves",
    "global_false_positive_rate",
    "global_score",
    "mask_iou",
    "strict_mask_iou",
    "vision_bias",
]
