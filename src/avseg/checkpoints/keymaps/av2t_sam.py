"""Key map of AV2T-SAM (github.com/bok-bok/AV2T-SAM): an EVF-SAM with projector and adapters.

A file always has a projection for CLIP and one for CLAP, also if only one of them was trained.
"""

from avseg.checkpoints.keymaps.evf_sam import evf_sam
from avseg.checkpoints.keymaps.key_map import KeyMap, drop, rename, same

#: For each tower, the published name of its projection and the name here.
PROJECTIONS = {"clip": ("vision_proj", "visual_proj"), "clap": ("audio_proj", "audio_proj")}

#: With SAM 2 an adapter has two linear layers, 0 and 2. With SAM it has layer 0, and all adapters
#: share the second linear layer.
_ADAPTERS = KeyMap(
    (
        rename("lightweight_mlp_{i}.{k}.{part}", "blocks.{i}.{k}.{part}"),
        rename("shared_mlp.{part}", "shared.{part}"),
    )
)


def av2t_sam(sam: int, features: str) -> KeyMap:
    """Build the key map of one variant of AV2T-SAM.

    Args:
        sam: Version of SAM, 1 or 2.
        features: "clip", "clap" or "mul"; a model here has no projection for unused features.

    Returns:
        The key map.
    """
    projections = [
        rename(f"{published}.{{part}}", f"{ours}.{{part}}")
        if features in (tower, "mul")
        else drop(f"{published}.{{part}}")
        for tower, (published, ours) in PROJECTIONS.items()
    ]
    projector = KeyMap((*projections, same("to_text_space.{i}.{part}")))
    return (
        evf_sam(sam).under("model.", "segmenter.")
        + projector.under("projector.", "projector.")
        + _ADAPTERS.under("audio_prompt_generator.", "adapters.")
    )
