"""TPAVI: AVSBench's model, with attention between audio and pixels (arXiv:2207.05042)."""

from avseg.models.tpavi.configuration import TpaviConfig
from avseg.models.tpavi.modeling import TpaviModel

__all__ = ["TpaviConfig", "TpaviModel"]
