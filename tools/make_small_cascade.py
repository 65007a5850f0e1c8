"""Combine a trained CLAP and a trained EVF-SAM in a small cascade for SynthAVS; nothing is trained.

python tools/make_small_cascade.py RUNS OUT [CLAP_RUN EVF_SAM_RUN]
"""

import sys
from pathlib import Path

from avseg.checkpoints import find_checkpoint
from avseg.training.small_cascade import save_cascade


def main(
    runs: str, out: str, clap: str = "clap_small", evf_sam: str = "mask_decoder_small"
) -> None:
    """Save the cascade and print the hash of its weights.

    Args:
        runs: Folder of the runs.
        out: Folder for the cascade.
        clap: Run of the recipe clap_small.
        evf_sam: Run of the recipe mask_decoder_small or evf_sam_small.
    """
    save_cascade(clap, evf_sam, Path(runs), Path(out))
    print(f"{out}: sha256 {find_checkpoint(out).sha256()}")


if __name__ == "__main__":
    main(*sys.argv[1:])
