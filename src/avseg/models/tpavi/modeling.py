"""AVSBench's model with Hiera and CLAP: frames and sound in, masks of what sounds out.

B clips, T frames, N = B * T, S side of the pictures, A width of the audio embedding, C channels of
the decoder, h x w size of a stage's maps, H x W size of the true masks.
"""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from avseg.backbones.clap import ClapAudioTower
from avseg.backbones.sam2 import Hiera
from avseg.models.frame_audio import FrameAudioModel
from avseg.models.outputs import AvsegOutput, bce_loss, mean_of_annotated, resize_logits
from avseg.models.tpavi.configuration import TpaviConfig
from avseg.models.tpavi.decoder import PyramidDecoder, WideView
from avseg.models.tpavi.interaction import AudioVisualInteraction


class TpaviModel(FrameAudioModel):
    """Segments the objects that sound (Zhou et al., ECCV 2022, arXiv:2207.05042).

    The frames of a clip are seen together: a mask depends on the other frames and their sounds.
    Everything trains but the audio tower.

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
        self.views = nn.ModuleList(WideView(dim, config.dim) for dim in dims)
        self.interactions = nn.ModuleList(
            AudioVisualInteraction(config.dim, config.clap_config.projection_dim) for _ in dims
        )
        self.decoder = PyramidDecoder(config.dim, len(dims))
        self.post_init()
        self._freeze()

    def train(self, mode: bool = True) -> Self:
        """Switch training mode, which the audio tower never enters."""
        super().train(mode)
        self.clap.eval()
        return self

    def segment(
        self,
        pixel_values: Tensor,
        audio_embeddings: Tensor,
        targets: Tensor | None,
        annotated: Tensor | None,
    ) -> AvsegOutput:
        """Fuse the features of all frames with the audio and decode one mask for each frame.

        Args:
            pixel_values: Frames, (B, T, 3, S, S).
            audio_embeddings: CLAP embedding of the audio of each frame, (B, T, A).
            targets: As for `forward`.
            annotated: As for `forward`.

        Returns:
            The masks, and the loss if there are targets.
        """
        shape = pixel_values.shape[:2]
        stages: list[Tensor] = []
        sounds: list[Tensor] = []
        for view, interaction, maps in zip(
            self.views, self.interactions, self.encoder(pixel_values.flatten(0, 1)), strict=True
        ):
            mixed, sound = interaction(view(maps).unflatten(0, shape), audio_embeddings)
            stages.append(mixed.flatten(0, 1))  # (N, C, h, w)
            sounds.append(sound.flatten(0, 1))  # (N, C)
        logits = self.decoder(stages)  # (N, S, S)
        loss = None
        if targets is not None:
            losses = bce_loss(resize_logits(logits, targets.shape[-2:]), targets.flatten(0, 1))
            if self.config.matching_weight:
                losses = losses + self.config.matching_weight * matching_loss(
                    logits, stages, sounds
                )
            loss = mean_of_annotated(losses, annotated)
        return AvsegOutput(
            loss=loss,
            mask_logits=logits.unflatten(0, shape),
            iou_predictions=expected_iou(logits.detach()).unflatten(0, shape),
        )

    def _freeze(self) -> None:
        """Let everything train but the audio tower."""
        self.requires_grad_(requires_grad=True)
        self.clap.requires_grad_(requires_grad=False)
        self.train(self.training)


def matching_loss(logits: Tensor, stages: list[Tensor], sounds: list[Tensor]) -> Tensor:
    """Let what is marked match what is heard: AVSBench's L_AVM (arXiv:2207.05042, 3.3).

    At each stage the maps are averaged under the mask; their Kullback-Leibler divergence from the
    sound, both of length 1 and through a softmax, is the loss. The maps are rectified, as in the
    released code, where the decoder does that in place.

    Args:
        logits: Of the masks, (N, S, S).
        stages: Maps that have heard, (N, C, h, w) each.
        sounds: The sounds in the space of each stage, (N, C) each.

    Returns:
        Mean over the stages, of each frame, (N,).
    """
    losses = []
    for maps, sound in zip(stages, sounds, strict=True):
        # The released code resizes the logits, not the probabilities.
        height, width = maps.shape[-2:]
        marked = F.adaptive_avg_pool2d(logits.unsqueeze(1), (height, width)).sigmoid()
        seen = F.normalize((maps.relu() * marked).mean(dim=(-2, -1)), dim=-1)  # (N, C)
        heard = F.normalize(sound, dim=-1).softmax(dim=-1)
        divergence = F.kl_div(seen.log_softmax(dim=-1), heard, reduction="none")
        losses.append(divergence.sum(dim=-1))
    return torch.stack(losses).mean(dim=0)


def expected_iou(logits: Tensor) -> Tensor:
    """Estimate the IoU of each frame's mask, taking its probabilities for true.

    The model has no head that judges its masks. If each pixel belonged to the object with its
    probability, as much of the marked area would be right, and as much of the rest missed.

    Args:
        logits: Of the masks, (N, S, S).

    Returns:
        Estimates in [0, 1], 0 where nothing is marked, (N,).
    """
    probs = logits.float().sigmoid().flatten(1)
    marked = probs > 0.5
    right = (probs * marked).sum(dim=1)
    missed = (probs * ~marked).sum(dim=1)
    return right / (marked.sum(dim=1) + missed).clamp(min=torch.finfo(probs.dtype).tiny)
