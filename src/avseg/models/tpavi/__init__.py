"""AVSBench's own model: sound and pixels of all frames meet by attention (arXiv:2207.05042)."""

from avseg.models.tpavi.configuration import TpaviConfig
from avseg.models.tpavi.modeling import TpaviModel

__all__ = ["TpaviConfig", "TpaviModel"]
