"""How many parameters are trainable in each part of AV2T-SAM?

    python benchmarks/trained_parameters.py

Builds AV2T-SAM at its published size without weights, for each backbone, each kind of features,
with and without adapters, and prints a Markdown table. It downloads nothing and takes a minute.
"""

import itertools

import torch

from avseg.backbones import PromptedSam1Config, PromptedSam2Config
from avseg.models.auto import FAMILIES
from avseg.models.av2t_sam import Av2tSam3Config, Av2tSamConfig
from avseg.models.av2t_sam.configuration import BridgeConfig

SAMS: dict[str, BridgeConfig] = {
    "SAM 2 Hiera-L": Av2tSamConfig(sam_config=PromptedSam2Config()),
    "SAM ViT-H": Av2tSamConfig(sam_config=PromptedSam1Config()),
    "SAM 3": Av2tSam3Config(),
}

#: Column of the table -> prefix of the parameter names of this part.
PARTS = {
    "mask decoder, `no_mask_embed`": ("segmenter.sam.", "segmenter.sam3."),
    "`text_hidden_fcs`": "segmenter.text_hidden_fcs.",
    "projector": "projector.",
    "adapters": "adapters.",
}


def count_trained(config: BridgeConfig) -> list[int]:
    """Count the trainable parameters of each part and of the whole model."""
    with torch.device("meta"):
        model = FAMILIES[config.model_type].model(config)
    trained = {name: p.numel() for name, p in model.named_parameters() if p.requires_grad}
    counts = [
        sum(number for name, number in trained.items() if name.startswith(prefix))
        for prefix in PARTS.values()
    ]
    return [*counts, sum(trained.values())]


def main() -> None:
    """Print a Markdown table with one row for each configuration."""
    header = ["backbone", "features", "adapters", *PARTS, "all"]
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join(["---"] * 3 + ["---:"] * (len(header) - 3)) + " |")
    for (name, base), features, adapters in itertools.product(
        SAMS.items(), ("clip", "clap", "mul"), (False, True)
    ):
        config = base.replace(features=features, adapters=adapters)
        counts = [f"{number:,}" for number in count_trained(config)]
        print("| " + " | ".join([name, features, "yes" if adapters else "no", *counts]) + " |")


if __name__ == "__main__":
    main()
