"""EVF-SAM and EVF-SAM2 (github.com/hustvl/EVF-SAM): SAM, BEiT-3 and what connects them."""

from avseg.checkpoints.keymaps.beit3 import BEIT3
from avseg.checkpoints.keymaps.key_map import KeyMap, rename
from avseg.checkpoints.keymaps.sam1 import SAM1
from avseg.checkpoints.keymaps.sam2 import SAM2

_CONNECTION = BEIT3.under("mm_extractor.beit3.", "beit3.") + KeyMap(
    (rename("text_hidden_fcs.0.{i}.{part}", "text_hidden_fcs.{i}.{part}"),)
)


def evf_sam(sam: int) -> KeyMap:
    """Build the table of EVF-SAM (1) or EVF-SAM2 (2).

    Args:
        sam: 1 or 2.

    Returns:
        The table.
    """
    table = SAM1 if sam == 1 else SAM2
    return table.under("visual_model.", f"sam.sam{sam}.") + _CONNECTION
