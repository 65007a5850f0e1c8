"""TAViS: ImageBind and SAM 2 with text as the bridge between them (arXiv:2506.11436)."""

from avseg.models.tavis.configuration import TavisConfig
from avseg.models.tavis.modeling import TavisModel
from avseg.models.tavis.processing import TavisProcessor

__all__ = ["TavisConfig", "TavisModel", "TavisProcessor"]
