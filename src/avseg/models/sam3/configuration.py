"""Configuration of SAM 3 prompted by texts."""

from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.sam3 import Sam3SegmenterConfig
from avseg.models.model import AvsegConfig
from avseg.models.tiny import TINY_SAM3


@strict
class Sam3TextConfig(AvsegConfig):
    """Configuration of SAM 3 prompted by texts; the defaults are the published sizes.

    Args:
        segmenter_config: Network and rule, a `Sam3SegmenterConfig`.
    """

    model_type = "avseg-sam3"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {"segmenter_config": Sam3SegmenterConfig}
    tiny_options: ClassVar[dict[str, Any]] = {"segmenter_config": {"sam3_config": TINY_SAM3}}

    segmenter_config: Any = None  # a configuration, or its options in a dictionary
