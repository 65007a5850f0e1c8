"""Cascade without training: CLAP names the audio, EVF-SAM segments the named objects."""

from avseg.models.cascade.configuration import CascadeConfig
from avseg.models.cascade.modeling import CascadeModel
from avseg.models.cascade.processing import CascadeProcessor

__all__ = ["CascadeConfig", "CascadeModel", "CascadeProcessor"]
