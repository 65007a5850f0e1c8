"""Masks written to files: indexed PNG, COCO run lengths, overlay video, result folder."""

from avseg.export.overlay import OverlayReport, OverlayWriter, open_overlay, save_overlay
from avseg.export.png import MaskWriter, save_mask, save_masks
from avseg.export.result import ResultKey, ResultSummary, Setting, find_result, write_result
from avseg.export.rle import CocoRle, decode_mask, encode_mask

__all__ = [
    "CocoRle",
    "MaskWriter",
    "OverlayReport",
    "OverlayWriter",
    "ResultKey",
    "ResultSummary",
    "Setting",
    "decode_mask",
    "encode_mask",
    "find_result",
    "open_overlay",
    "save_mask",
    "save_masks",
    "save_overlay",
    "write_result",
]
