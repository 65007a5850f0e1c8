"""Configuration of an AuralSAM2 model: sizes, losses and the windows of a long video."""

from dataclasses import field
from typing import Any, ClassVar

from huggingface_hub.dataclasses import strict

from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.sam2_memory import Sam2MemoryConfig
from avseg.backbones.vggish import VggishConfig
from avseg.models.model import AvsegConfig, OptionGroup
from avseg.models.tiny import TINY_SAM

#: Channels of the audio for which the model was made: left and right.
AUDIO_CHANNELS = 2

#: Feature levels of SAM 2 that are fused with the audio, of strides 4, 8 and 16.
NUM_LEVELS = 3


@strict
class AuralSam2Losses(OptionGroup):
    """Weights and options of the training losses; the defaults are those of the released code.

    Args:
        focal_weight: Weight of the focal loss of a mask.
        dice_weight: Weight of the dice loss of a mask.
        iou_weight: Weight of the loss that trains the predicted IoU.
        presence_weight: Weight of the loss that trains the object score.
        contrast_weight: Weight of the contrastive loss of pixels and audio.
        contrast_pixels: Largest number of pixels of a class that are compared, in each frame and
            level.
        contrast_rows: Largest number of pixels that are compared in a clip.
        temperature: Number by which the cosines of the contrastive loss are divided.
    """

    model_type = "avseg-auralsam2-losses"

    focal_weight: float = 20.0
    dice_weight: float = 1.0
    iou_weight: float = 1.0
    presence_weight: float = 1.0
    contrast_weight: float = 1.0
    contrast_pixels: int = 384
    contrast_rows: int = 15240
    temperature: float = 0.1


@strict
class AuralSam2Config(AvsegConfig):
    """Configuration of AuralSAM2 (Liu et al. 2026, arXiv:2506.01015); defaults as published.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config`.
        memory_config: Memory over the frames, a `Sam2MemoryConfig`.
        vggish_config: Audio encoder, a `VggishConfig`. Two embeddings of it, of the left and the
            right channel, have the width of SAM 2's prompts together.
        image_blocks: Blocks that process the image at each level, from fine to coarse.
        audio_blocks: Blocks that process the audio at each level.
        num_heads: Attention heads of these blocks.
        mlp_ratio: Hidden width of these blocks, as a multiple of the prompt width.
        key_stride: Stride of the convolution that reduces the keys of the image blocks.
        dropout: Dropout rate in these blocks.
        contrast_dim: Width of the space in which the contrastive loss compares pixels and audio.
        window_frames: Largest number of frames that are fused together. The released code fuses all
            frames of a clip: 5 in S4 and MS3 of AVSBench, 5 or 10 in AVSS.
        train_vggish: Whether VGGish is trained too, as with an option of the released code, which
            is off for the published weights.
        suppress_absent: Whether the mask of a frame is emptied if the object score predicts no
            object, as in SAM 2; one of the three ways of evaluation of the released code.
        losses: Weights and options of the training losses, an `AuralSam2Losses`.
    """

    model_type = "avseg-auralsam2"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "memory_config": Sam2MemoryConfig,
        "vggish_config": VggishConfig,
        "losses": AuralSam2Losses,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam_config": TINY_SAM,
        "memory_config": Sam2MemoryConfig(
            frames=4, pointers=5, layers=2, ffn_dim=256, binary_masks=True
        ),
        "vggish_config": VggishConfig(channels=[16, 32, 64, 64], hidden_dim=128, dim=64),
        "image_blocks": [1, 1, 2],
        "audio_blocks": 1,
        "contrast_dim": 64,
        # There is no small pretrained VGGish.
        "train_vggish": True,
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    memory_config: Any = None
    vggish_config: Any = None
    image_blocks: list[int] = field(default_factory=lambda: [3, 6, 12])
    audio_blocks: int = 3
    num_heads: int = 4
    mlp_ratio: int = 4
    key_stride: int = 4
    dropout: float = 0.1
    contrast_dim: int = 128
    window_frames: int = 5
    train_vggish: bool = False
    suppress_absent: bool = False
    losses: Any = None

    def __post_init__(self, **kwargs: Any) -> None:
        # The released code stores binarised masks in the memory, in training too.
        if self.memory_config is None:
            self.memory_config = {"binary_masks": True}
        super().__post_init__(**kwargs)

    @property
    def window_s(self) -> float:
        """Length of the audio window of a frame, in seconds."""
        return float(self.vggish_config.window_s)

    @property
    def sample_rate(self) -> int:
        """Sample rate of the audio, in Hz."""
        rate: int = self.vggish_config.sample_rate
        return rate

    def validate_blocks(self) -> None:
        """Raise an error if there is not one number of image blocks for each level."""
        if len(self.image_blocks) != NUM_LEVELS:
            raise ValueError(
                f"image_blocks needs {NUM_LEVELS} entries, one for each level, "
                f"got {self.image_blocks}."
            )

    def validate_window_frames(self) -> None:
        """Raise an error if a window has no frame."""
        if self.window_frames < 1:
            raise ValueError(f"window_frames must be at least 1, got {self.window_frames}.")

    def validate_widths(self) -> None:
        """Raise an error if the widths of SAM 2, VGGish and the attention heads do not fit."""
        if not isinstance(self.sam_config, PromptedSam2Config):
            return  # the field is checked before its dictionary becomes a configuration
        width = self.sam_config.prompt_dim
        if AUDIO_CHANNELS * self.vggish_config.dim != width:
            raise ValueError(
                f"vggish_config.dim must be {width // AUDIO_CHANNELS}, half of "
                f"sam_config.prompt_dim, got {self.vggish_config.dim}."
            )
        if width % self.num_heads:
            raise ValueError(
                f"num_heads must divide sam_config.prompt_dim {width}, got {self.num_heads}."
            )
        grid = self.sam_config.image_size // self.sam_config.embedding_stride
        if grid < self.key_stride:
            raise ValueError(
                f"key_stride must be at most {grid}, the side of the image embedding's grid, "
                f"got {self.key_stride}."
            )
