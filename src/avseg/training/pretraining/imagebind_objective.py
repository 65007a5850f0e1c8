"""Pre-training objective of a small ImageBind: contrastive losses of images, audio and texts.

The published model is trained on pairs with an image only (Girdhar et al., CVPR 2023,
arXiv:2305.05665, section 3); here audio is compared with texts too.

N items, C captions of single categories, K further texts; S is the side of an image in pixels.
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
    """Output of the pre-training for N images and N audio clips.

    Args:
        loss: Training loss, a scalar.
        image_logits: Logit that the caption of a category matches an image, (N, C).
        audio_logits: Logit that the caption of a category matches an audio clip, (N, C).
        pair_logits: Logit that an audio clip matches an image, (N images, N audio).
    """

    loss: Tensor | None = None
    image_logits: Tensor | None = None
    audio_logits: Tensor | None = None
    pair_logits: Tensor | None = None


class ImageBindPretraining(nn.Module):
    """Pre-training of three towers in one space, by SigLIP's loss on pairs of two modalities.

    A text matches an image if every category that it names is visible; audio matches an image if
    every audible category is visible; a text matches audio if every category that it names is
    audible. As for the small CLIP, an auxiliary head also classifies each patch of the stem by the
    category of its pixels; it is discarded after the training.

    Args:
        config: Configuration of the model.
        captions: Token ids of a caption for each category and one for nothing, (C, T) int64.
    """

    captions: Tensor

    def __init__(self, config: ImageBindConfig, captions: Tensor) -> None:
        super().__init__()
        self.imagebind = ImageBind(config, frozen=False)
        self.class_head = nn.Conv2d(config.vision.width, len(captions), 1)
        self.register_buffer("captions", captions, persistent=False)
        #: Biases of the logits of image and text, audio and text, image and audio. They start
        #: negative, since most pairs do not match (SigLIP); pairs of image and audio match least.
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
        """Compute the logits of all pairs of two modalities, and the loss.

        Args:
            pixel_values: Normalised images, (N, 3, S, S).
            spectrograms: Spectrograms of the audio, (N, 1, M, T).
            texts: Token ids of further texts, (K, T) int64.
            shown: 1 for each category that is visible in the image, (N, C).
            heard: 1 for each category that is audible, (N, C).
            classes: Category of each pixel from 1, 0 for the background, (N, S, S).

        Returns:
            Loss and logits.
        """
        image_cls, dense = self._encode_images(pixel_values, classes)
        audio_cls = self.imagebind.encode_audio(spectrograms).cls
        states = self.imagebind.encode_text_states(self._with_captions(texts))
        # bf16 has 8 significant bits: scaled cosines would have errors of a tenth of a logit.
        with torch.autocast(pixel_values.device.type, enabled=False):
            images = self.imagebind.project_image(image_cls.float())
            audio = self.imagebind.project_audio(audio_cls.float())
            words = self.imagebind.project_text(states.float())
            image_logits = images @ words.T + self.biases[0]
            # Embeddings of audio and of texts include a scale each. One is removed here, so that
            # all logits are cosines with one scale.
            audio_logits = F.normalize(audio, dim=-1) @ words.T + self.biases[1]
            pair_logits = images @ audio.T + self.biases[2]
        count = len(self.captions)  # the logits of further texts enter the loss only
        named = self._named_categories(texts)
        loss = (
            _pairs_loss(image_logits, _contains_all(shown, named))
            + _pairs_loss(audio_logits, _contains_all(heard, named))
            + 0.5 * _pairs_loss(pair_logits, _contains_all(shown, heard))
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

        In training every second image is encoded at half its size, so that the model can later
        embed small images at a quarter of the cost, as TAViS does.
        """
        if not self.training:
            return self._encode_at_one_size(pixel_values, classes)
        # The class map is subsampled, not averaged: it has category numbers.
        whole = self._encode_at_one_size(pixel_values[::2], classes[::2])
        halved = self._encode_at_one_size(
            F.avg_pool2d(pixel_values[1::2], 2), classes[1::2, ::2, ::2]
        )
        cls = pixel_values.new_empty(len(pixel_values), whole[0].shape[1])
        cls[::2], cls[1::2] = whole[0].float(), halved[0].float()
        return cls, (whole[1] + halved[1]) / 2

    def _encode_at_one_size(self, pixel_values: Tensor, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Encode images of one size, and classify the patches of the stem."""
        patches: list[Tensor] = []
        stem = self.imagebind.vision_tower.stem
        hook = stem.register_forward_hook(lambda _, __, out: patches.append(out))
        cls = self.imagebind.encode_images(pixel_values).cls
        hook.remove()
        return cls, class_loss(self.class_head(patches[0]).float(), classes)

    def _named_categories(self, texts: Tensor) -> Tensor:
        """Return 1 for each category that a text names, the captions first, (C + K, C)."""
        own_words = self.captions[:, 0]  # the first word of a caption is the category
        named = (self._with_captions(texts)[:, :, None] == own_words).any(dim=1)
        return named.float()

    def _with_captions(self, texts: Tensor) -> Tensor:
        """Concatenate the captions of the categories and further texts, (C + K, T)."""
        longest = max(self.captions.shape[1], texts.shape[1])
        # Index 0 is the padding word.
        padded = [F.pad(ids, (0, longest - ids.shape[1])) for ids in (self.captions, texts)]
        return torch.cat(padded)


def _contains_all(present: Tensor, wanted: Tensor) -> Tensor:
    """Return 1 where the present categories, (N, C), include all wanted ones, (K, C): (N, K)."""
    return (present @ wanted.T == wanted.sum(dim=1)).float()


def _pairs_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of (N, K) pairs, summed over K and averaged over N."""
    return F.binary_cross_entropy_with_logits(logits, targets) * logits.shape[1]
