"""Pre-training of a small ImageBind: pictures, sounds and texts that are true of each other.

The published model learned from pairs with pictures alone (Girdhar et al., CVPR 2023,
arXiv:2305.05665, section 3); here sounds are compared with texts too. N items, C categories' own
texts, K texts, S side of a picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.utils.generic import ModelOutput

from avseg.backbones.imagebind import ImageBind, ImageBindConfig
from avseg.training.pretraining.objectives import class_loss


@dataclass
class ImageBindPretrainingOutput(ModelOutput):
    """What the pre-training returns for N pictures and N sounds.

    Args:
        loss: Training loss, a scalar.
        image_logits: How true each category's text is of each picture, (N, C).
        audio_logits: The same of each sound, (N, C).
        pair_logits: How true each sound is of each picture, (N pictures, N sounds).
    """

    loss: Tensor | None = None
    image_logits: Tensor | None = None
    audio_logits: Tensor | None = None
    pair_logits: Tensor | None = None


class ImageBindPretraining(nn.Module):
    """Three towers that agree on what is shown, heard and named, pair by pair (SigLIP's loss).

    A text is true of a picture if all it names is visible, a sound if all that sounds is; the same
    for a text and a sound. As for the small CLIP, the stem's patches also learn the category they
    lie on, by a head that is thrown away afterwards.

    Args:
        config: Sizes.
        captions: Token ids of a text for each category and one for nothing, (C, T) int64.
    """

    captions: Tensor

    def __init__(self, config: ImageBindConfig, captions: Tensor) -> None:
        super().__init__()
        self.imagebind = ImageBind(config, frozen=False)
        self.class_head = nn.Conv2d(config.vision.width, len(captions), 1)
        self.register_buffer("captions", captions, persistent=False)
        #: Added to the logits of picture and text, sound and text, picture and sound.
        self.biases = nn.Parameter(torch.tensor([-3.0, -3.0, -5.0]))

    def forward(
        self,
        pixel_values: Tensor,
        spectrograms: Tensor,
        texts: Tensor,
        shown: Tensor,
        heard: Tensor,
        classes: Tensor,
    ) -> ImageBindPretrainingOutput:
        """Compare everything with everything.

        Args:
            pixel_values: Normalised pictures, (N, 3, S, S).
            spectrograms: Of the sounds, (N, 1, M, T).
            texts: Token ids, (K, T) int64.
            shown: 1 for each category that is visible in a picture, (N, C).
            heard: The same for what sounds.
            classes: Category of each pixel from 1, 0 for the background, (N, S, S).

        Returns:
            Loss and logits.
        """
        image_cls, dense = self._encode_images(pixel_values, classes)
        audio_cls = self.imagebind.encode_audio(spectrograms).cls
        states = self.imagebind.encode_text_states(self._with_captions(texts))
        # Cosines in bf16 would be a tenth of a logit off.
        with torch.autocast(pixel_values.device.type, enabled=False):
            images = self.imagebind.project_image(image_cls.float())
            audio = self.imagebind.project_audio(audio_cls.float())
            words = self.imagebind.project_text(states.float())
            image_logits = images @ words.T + self.biases[0]
            audio_logits = F.normalize(audio, dim=-1) @ words.T + self.biases[1]
            pair_logits = images @ audio.T + self.biases[2]
        count = len(self.captions)
        every = self._named(texts)
        loss = (
            _pairs_loss(image_logits, _holds(shown, every))
            + _pairs_loss(audio_logits, _holds(heard, every))
            + 0.5 * _pairs_loss(pair_logits, _holds(shown, heard))
            + 2 * dense
        )
        return ImageBindPretrainingOutput(
            loss=loss,
            image_logits=image_logits[:, :count],
            audio_logits=audio_logits[:, :count],
            pair_logits=pair_logits,
        )

    def _encode_images(self, pixel_values: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return class tokens, (N, W), and the loss of the patches' categories, a scalar.

        In training every second picture is seen at half its size, so that a picture can be embedded
        at a quarter of the cost, as TAViS does.
        """
        if not self.training:
            return self._encode_at_one_size(pixel_values, classes)
        whole = self._encode_at_one_size(pixel_values[::2], classes[::2])
        halved = self._encode_at_one_size(
            F.avg_pool2d(pixel_values[1::2], 2), classes[1::2, ::2, ::2]
        )
        cls = pixel_values.new_empty(len(pixel_values), whole[0].shape[1])
        cls[::2], cls[1::2] = whole[0].float(), halved[0].float()
        return cls, (whole[1] + halved[1]) / 2

    def _encode_at_one_size(self, pixel_values: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        patches: list[Tensor] = []
        stem = self.imagebind.vision_tower.stem
        hook = stem.register_forward_hook(lambda _, __, out: patches.append(out))
        cls = self.imagebind.encode_images(pixel_values).cls
        hook.remove()
        return cls, class_loss(self.class_head(patches[0]).float(), classes)

    def _named(self, texts: Tensor) -> Tensor:
        """Return 1 for each category that a text names, the categories' own first, (C + K, C)."""
        own_words = self.captions[:, 0]
        named = (self._with_captions(texts)[:, :, None] == own_words).any(dim=1)
        return named.float()

    def _with_captions(self, texts: Tensor) -> Tensor:
        """Put the categories' own texts before others, (C + K, T)."""
        longest = max(self.captions.shape[1], texts.shape[1])
        rows = [F.pad(ids, (0, longest - ids.shape[1])) for ids in (self.captions, texts)]
        return torch.cat(rows)


def _holds(present: Tensor, wanted: Tensor) -> Tensor:
    """Say where all that is wanted, (K, C), is present, (N, C): 1 or 0, (N, K)."""
    return (present @ wanted.T == wanted.sum(dim=1)).float()


def _pairs_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Sum over a row's pairs, averaged over rows."""
    return F.binary_cross_entropy_with_logits(logits, truth) * logits.shape[1]
