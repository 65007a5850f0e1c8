"""Key map of EVF-SAM and EVF-SAM2 (github.com/hustvl/EVF-SAM): SAM, BEiT-3 and a projection."""

from avseg.checkpoints.keymaps.beit3 import BEIT3
from avseg.checkpoints.keymaps.key_map import KeyMap, rename
from avseg.checkpoints.keymaps.sam1 import SAM1
from avseg.checkpoints.keymaps.sam2 import SAM2

#: The published model has a list with one projection, hence the index 0.
_BEIT3_AND_PROJECTION = BEIT3.under("mm_extractor.beit3.", "beit3.") + KeyMap(
    (rename("text_hidden_fcs.0.{i}.{part}", "text_hidden_fcs.{i}.{part}"),)
)


def evf_sam(sam: int) -> KeyMap:
    """Build the key map of EVF-SAM or EVF-SAM2.

    Args:
        sam: Version of SAM, 1 or 2.

    Returns:
        The key map.
    """
    sam_map = SAM1 if sam == 1 else SAM2
    return sam_map.under("visual_model.", f"sam.sam{sam}.") + _BEIT3_AND_PROJECTION
