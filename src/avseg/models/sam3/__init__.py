"""SAM 3: segmentation of all instances of a concept that a text names."""

from avseg.models.sam3.configuration import Sam3TextConfig
from avseg.models.sam3.modeling import Sam3TextModel
from avseg.models.sam3.processing import Sam3TextProcessor

__all__ = ["Sam3TextConfig", "Sam3TextModel", "Sam3TextProcessor"]
