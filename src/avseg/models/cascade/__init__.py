"""The cascade without training: CLAP names the sound, EVF-SAM marks what has that name."""

from avseg.models.cascade.configuration import CascadeConfig
from avseg.models.cascade.modeling import CascadeModel
from avseg.models.cascade.processing import CascadeProcessor

__all__ = ["CascadeConfig", "CascadeModel", "CascadeProcessor"]
