"""AVSBench's model (TPAVI) with Hiera and CLAP: computes masks of the sounding objects.

B clips, T frames, N = B * T, S side of the images, A width of the audio embedding, C channels of
the decoder, h x w size of the feature maps of a stage.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.sam2 import Hiera
from avseg.models.frame_audio import FrameAudioModel, GroundTruth
from avseg.models.outputs import AvsegOutput, bce_loss, mean_of_annotated, resize_logits
from avseg.models.tpavi.configuration import TpaviConfig
from avseg.models.tpavi.decoder import DilatedConvolutions, PyramidDecoder
from avseg.models.tpavi.interaction import AudioVisualInteraction


class TpaviModel(FrameAudioModel):
    """Segments the sounding objects (Zhou et al., ECCV 2022, arXiv:2207.05042).

    The frames of a clip are processed together, so a mask also depends on the other frames of the
    clip and on their audio.
    Everything is trained except the audio tower.

    Args:
        config: Sizes.
    """

    config_class = TpaviConfig
    config: TpaviConfig
    base_model_prefix = "tpavi"

    def __init__(self, config: TpaviConfig) -> None:
        super().__init__(config)
        self.encoder = Hiera(config.hiera_config)
        self.clap = ClapAudioTower(config.clap_config)
        dims = config.hiera_config.embed_dims
        self.views = nn.ModuleList(DilatedConvolutions(dim, config.dim) for dim in dims)
        self.interactions = nn.ModuleList(
            AudioVisualInteraction(config.dim, config.clap_config.projection_dim) for _ in dims
        )
        self.decoder = PyramidDecoder(config.dim, len(dims))
        self.post_init()
        self._freeze()

    def train(self, mode: bool = True) -> Self:
        """Set training mode; the frozen audio tower stays in evaluation mode."""
        super().train(mode)
        self.clap.eval()
        return self

    def segment(
        self, pixel_values: Tensor, audio_embeddings: Tensor, truth: GroundTruth
    ) -> AvsegOutput:
        """Condition the features of all frames on the audio and decode one mask for each frame."""
        shape = pixel_values.shape[:2]
        # 1. Condition each stage of the feature pyramid on the audio.
        stages: list[Tensor] = []
        projected_audio: list[Tensor] = []
        for view, interaction, maps in zip(
            self.views, self.interactions, self.encoder(pixel_values.flatten(0, 1)), strict=True
        ):
            conditioned, audio = interaction(view(maps).unflatten(0, shape), audio_embeddings)
            stages.append(conditioned.flatten(0, 1))  # (N, C, h, w)
            projected_audio.append(audio.flatten(0, 1))  # (N, C)
        # 2. Decode the masks, at four times the side of the finest stage.
        logits = self.decoder(stages)  # (N, S, S)
        loss, (targets, annotated) = None, truth
        if targets is not None:
            losses = bce_loss(resize_logits(logits, targets.shape[-2:]), targets.flatten(0, 1))
            if self.config.matching_weight:
                losses = losses + self.config.matching_weight * matching_loss(
                    logits, stages, projected_audio
                )
            loss = mean_of_annotated(losses, annotated)
        return AvsegOutput(
            loss=loss,
            mask_logits=logits.unflatten(0, shape),
            iou_predictions=expected_iou(logits.detach()).unflatten(0, shape),
        )

    def _freeze(self) -> None:
        """Freeze the audio tower and train all other parameters."""
        # Unlike the families on SAM, this one also trains its image encoder.
        self.requires_grad_(requires_grad=True)
        self.clap.requires_grad_(requires_grad=False)
        self.train(self.training)


def matching_loss(logits: Tensor, stages: list[Tensor], projected_audio: list[Tensor]) -> Tensor:
    """Compute L_AVM, which aligns masked image features with the audio (arXiv:2207.05042, 3.3).

    At each stage the feature maps are averaged inside the mask. Average and audio are
    L2-normalised, and a softmax makes each a distribution. The loss is the Kullback-Leibler
    divergence of the two. The feature maps are rectified first: in the released code, the decoder
    changes them in place by ReLU.

    Args:
        logits: Mask logits, (N, S, S).
        stages: Audio-conditioned feature maps, (N, C, h, w) each.
        projected_audio: Audio in the space of each stage, (N, C) each.

    Returns:
        Loss of each frame, mean over the stages, (N,).
    """
    losses = []
    for maps, audio in zip(stages, projected_audio, strict=True):
        # The released code resizes the logits, not the probabilities.
        height, width = maps.shape[-2:]
        mask = F.adaptive_avg_pool2d(logits.unsqueeze(1), (height, width)).sigmoid()
        # The sum is divided by the area of the map instead of the area of the mask. This has no
        # effect, because the result is normalised.
        image = F.normalize((maps.relu() * mask).mean(dim=(-2, -1)), dim=-1)  # (N, C)
        target = F.normalize(audio, dim=-1).softmax(dim=-1)
        divergence = F.kl_div(image.log_softmax(dim=-1), target, reduction="none")
        losses.append(divergence.sum(dim=-1))
    return torch.stack(losses).mean(dim=0)


def expected_iou(logits: Tensor) -> Tensor:
    """Estimate the IoU of each mask from its probabilities, because the model has no IoU head.

    The estimate assumes that the probability of each pixel is correct. Then the expected
    intersection is the sum of the probabilities inside the mask. The expected union is the area of
    the mask plus the sum of the probabilities outside of it.

    Args:
        logits: Mask logits, (N, S, S).

    Returns:
        Estimates in [0, 1], 0 for an empty mask, (N,).
    """
    probs = logits.float().sigmoid().flatten(1)
    masks = probs > 0.5
    intersection = (probs * masks).sum(dim=1)
    missed = (probs * ~masks).sum(dim=1)
    return intersection / (masks.sum(dim=1) + missed).clamp(min=torch.finfo(probs.dtype).tiny)
