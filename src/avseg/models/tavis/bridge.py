"""Text bridge of TAViS: compares audio, masked images and names in ImageBind's joint space.

N frames, Q queries, C names with the background first, D width of ImageBind's joint space, W width
of its towers, S side of the frames, h x w size of the mask logits, L tokens of a text.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from avseg.backbones.imagebind import ImageBind
from avseg.models.outputs import resize_logits
from avseg.models.processor import CLIP_STATISTICS
from avseg.models.tavis.configuration import TavisConfig


@dataclass(frozen=True)
class EncodedNames:
    """Encodings of C names by the text tower.

    Attributes:
        ids: Token ids of the texts, (C, L) int64.
        states: State of the text tower at the end of each text, (C, W).
        embeddings: Unit vectors times the logit scale of the text tower, (C, D).
    """

    ids: Tensor
    states: Tensor
    embeddings: Tensor


@dataclass(frozen=True)
class TextBridge:
    """Comparison of audio and images with names, by the cosine of ImageBind's embeddings.

    Attributes:
        imagebind: The frozen towers.
        config: Image size, prompt highlighting, scale of the audio and thresholds.
    """

    imagebind: ImageBind
    config: TavisConfig

    @torch.no_grad()
    def encode_names(self, name_ids: Tensor) -> EncodedNames:
        """Encode names with the text tower.

        Args:
            name_ids: Token ids of the texts, (C, L) int64.

        Returns:
            States and embeddings of the names.
        """
        with without_autocast(name_ids.device):
            states = self.imagebind.encode_text_states(name_ids)
            return EncodedNames(name_ids, states, self.imagebind.project_text(states))

    def compare_audio(self, objects: Tensor, names: EncodedNames) -> Tensor:
        """Compute the similarity of the audio of each object with each name.

        Args:
            objects: Audio token of each query, (N, Q, W).
            names: The encoded names.

        Returns:
            Cosines times the logit scale of the texts and `a_scale`, (N, Q, C).
        """
        with without_autocast(objects.device):
            objects = objects.to(names.embeddings)
            # `project_audio` scales by 20; normalising removes this scale, and `a_scale` replaces
            # it.
            audio = F.normalize(self.imagebind.project_audio(objects), dim=-1)
            return self.config.a_scale * audio @ names.embeddings.T

    def compare_images(self, frames: Tensor, mask_logits: Tensor, names: EncodedNames) -> Tensor:
        """Compute the similarity of each masked image with each name.

        Args:
            frames: RGB in [0, 1], (N, 3, S, S).
            mask_logits: Mask of each query before the sigmoid, (N, Q, h, w); gradients flow to
                them.
            names: The encoded names.

        Returns:
            Cosines times the logit scale of the texts, (N, Q, C).
        """
        highlighted = highlight(frames, mask_logits, self.config.blur_kernel)  # (N, Q, 3, S, S)
        # One image for each query: encoding all N * Q images takes most of the run time.
        cls = self.encode_images(highlighted.flatten(0, 1))  # (N * Q, W)
        # Image embeddings have length 1, so only the scale of the names remains in the product.
        with without_autocast(cls.device):
            images = self.imagebind.project_image(cls.to(names.embeddings))
            return images.unflatten(0, highlighted.shape[:2]) @ names.embeddings.T

    def compare_frames(
        self, audio_cls: Tensor, image_cls: Tensor, names: EncodedNames
    ) -> tuple[Tensor, Tensor]:
        """Compute the cosines of frames and of their audio with all names but the background.

        Args:
            audio_cls: Class token of the audio of each frame, (N, W).
            image_cls: Class token of each frame, (N, W).
            names: The encoded names.

        Returns:
            Cosines of the audio and cosines of the frames, (N, C - 1) each.
        """
        with without_autocast(audio_cls.device):
            # Row 0 is the background, which is not the name of a sounding object.
            unit = F.normalize(names.embeddings[1:], dim=-1)
            audio = self.imagebind.project_audio(audio_cls.to(unit))
            images = self.imagebind.project_image(image_cls.to(unit))
            return F.normalize(audio, dim=-1) @ unit.T, F.normalize(images, dim=-1) @ unit.T

    def passes_thresholds(self, audio_cosines: Tensor, image_cosines: Tensor) -> Tensor:
        """Select the frames that may get a mask, by `min_similarity` and `min_agreement`.

        Args:
            audio_cosines: Cosines of the audio with names, (N, C - 1).
            image_cosines: Cosines of the frames with names, (N, C - 1).

        Returns:
            True for frames that pass both thresholds, (N,) bool: their audio matches a name, and
            its source is visible.
        """
        thresholds = self.config.thresholds
        is_similar = audio_cosines.amax(-1) >= thresholds.min_similarity
        # The mean comes before the maximum over names, because one name must fit audio and frame.
        agreement = (audio_cosines + image_cosines).amax(-1) / 2
        return is_similar & (agreement >= thresholds.min_agreement)

    def encode_images(self, images: Tensor) -> Tensor:
        """Resize images to ImageBind's input size and encode them.

        Args:
            images: RGB in [0, 1], (N, 3, S, S).

        Returns:
            Class token of each image, (N, W).
        """
        size = (self.config.imagebind_size, self.config.imagebind_size)
        images = F.interpolate(images, size, mode="bilinear")
        # ImageBind was trained on images normalised by CLIP's statistics. The released code of
        # TAViS omits the normalisation, so the default does too.
        if self.config.imagebind_statistics == "clip":
            images = normalise(images, CLIP_STATISTICS)
        return self.imagebind.encode_images(images).cls


def highlight(frames: Tensor, mask_logits: Tensor, blur_kernel: int) -> Tensor:
    """Blur the background of each mask, so that the image shows the object with its surroundings.

    Args:
        frames: RGB in [0, 1], (N, 3, S, S).
        mask_logits: Before the sigmoid, (N, Q, h, w).
        blur_kernel: Side of the box filter, in pixels.

    Returns:
        One image for each mask, (N, Q, 3, S, S).
    """
    masks = resize_logits(mask_logits, frames.shape[-2:]).sigmoid().unsqueeze(2)  # (N, Q, 1, S, S)
    frames = frames.unsqueeze(1)  # (N, 1, 3, S, S), broadcast over the queries
    background = (frames * (1 - masks)).flatten(0, 1)
    # The released code calls it a Gaussian blur but computes a box filter with zero padding. The
    # filter is separable: on a CPU two products with band matrices are much faster than pooling.
    rows, columns = (_box_matrix(side, blur_kernel, background) for side in background.shape[-2:])
    with without_autocast(background.device):
        blurred = rows @ background @ columns / blur_kernel**2
    return frames * masks + blurred.unflatten(0, masks.shape[:2]) * (1 - masks)


def normalise(images: Tensor, statistics: tuple[tuple[float, ...], tuple[float, ...]]) -> Tensor:
    """Normalise images in [0, 1], (N, 3, S, S), by statistics of values over 0..255."""
    mean, std = (images.new_tensor(values).view(3, 1, 1) / 255 for values in statistics)
    return (images - mean) / std


def without_autocast(device: torch.device) -> AbstractContextManager[None]:
    """Return a context without autocast."""
    # In bfloat16 the error of a cosine, times the logit scale, is some tenths of a logit.
    return torch.autocast(device.type, enabled=False)


def _box_matrix(side: int, width: int, like: Tensor) -> Tensor:
    """Build the band matrix of ones that sums `width` neighbours of each entry, (side, side)."""
    index = torch.arange(side, device=like.device)
    return ((index[:, None] - index).abs() <= width // 2).to(like.dtype)
