"""Audio-visual segmentation data: readers and generators."""

from avseg.datasets.avsbench import AnnotatedClip, AVSBench

__all__ = ["AVSBench", "AnnotatedClip"]
