"""Configuration of a TAViS model: sizes, switches, losses and thresholds."""

from typing import Any, ClassVar, Literal

from huggingface_hub.dataclasses import strict

from avseg.backbones.imagebind import ImageBindConfig
from avseg.backbones.sam2 import PromptedSam2Config
from avseg.backbones.sam2_memory import Sam2MemoryConfig
from avseg.models.model import AvsegConfig, OptionGroup
from avseg.models.tiny import TINY_SAM

#: Placeholder for the name in a text.
NAME = "{name}"

#: Options that select the behaviour of the released code. An imported checkpoint gets them too,
#: because its file does not state with which version of the code it was trained.
RELEASED: dict[str, Any] = {
    "stage1_mode": "last_only",
    "stage2_pairing": "tile",
    "detach_pseudo_text": True,
    "readout": "argmax",
    "a_scale": 20.0,
    "memory_at_test": False,
}


@strict
class TavisLosses(OptionGroup):
    """Weights and options of the training losses; the defaults are those of the released code.

    Args:
        a2t_weight: Weight of the loss that aligns audio with the text of its class.
        i2t_weight: Weight of the loss that aligns masked images with the text of their class.
        a2pt_weight: Weight of the loss that aligns pseudo text with the text of its class.
        separate_weight: Weight of the losses on the masks of single objects.
        binary_weight: Weight of the losses on the mask of all sounding objects.
        background_weight: Weight of the background among the classes.
        divide_by_pairs: Whether the losses of audio and of masked images with text are divided by
            the number of matched pairs, as in the released code. They are means already.
        match_points: Number of pixels at which masks are compared for matching.
    """

    model_type = "avseg-tavis-losses"

    a2t_weight: float = 0.5
    i2t_weight: float = 0.5
    a2pt_weight: float = 0.3
    separate_weight: float = 1.0
    binary_weight: float = 1.0
    background_weight: float = 0.1
    divide_by_pairs: bool = True
    match_points: int = 12544


@strict
class TavisThresholds(OptionGroup):
    """Thresholds that are applied after training; the defaults switch all of them off.

    Training ignores the thresholds, because the losses need the masks of every frame.

    Args:
        min_score: Score in [0, 1) that a query must exceed to become a named source.
        candidates: Number of names that a query may get: those nearest to the whole audio of the
            frame, and the background. 0 allows every name, as the released code does.
        min_similarity: Lowest accepted cosine, in [-1, 1], of the audio of a frame with its most
            similar name. A frame with a lower cosine gets no mask, because its audio, for example
            noise, matches no name. -1 accepts any audio, as the released code does.
        min_agreement: Lowest accepted mean of two cosines: of the audio with a name, and of the
            whole frame with the same name. The name with the highest mean is used. A frame with a
            lower mean gets no mask, because its audio is an off-screen sound. -1 accepts every
            frame, as the released code does.
    """

    model_type = "avseg-tavis-thresholds"

    min_score: float = 0.0
    candidates: int = 0
    min_similarity: float = -1.0
    min_agreement: float = -1.0

    def validate_min_score(self) -> None:
        """Raise an error if no score can exceed the threshold."""
        if not 0 <= self.min_score < 1:
            raise ValueError(f"min_score must be from 0 to below 1, got {self.min_score}.")

    def validate_candidates(self) -> None:
        """Raise an error if the number of candidates is negative."""
        if self.candidates < 0:
            raise ValueError(f"candidates must be at least 0, got {self.candidates}.")

    def validate_cosines(self) -> None:
        """Raise an error if a threshold is not a cosine."""
        for option in ("min_similarity", "min_agreement"):
            if not -1 <= getattr(self, option) <= 1:
                raise ValueError(f"{option} must be from -1 to 1, got {getattr(self, option)}.")


@strict
class TavisConfig(AvsegConfig):
    """Configuration of TAViS (Luo et al., ICCV 2025, arXiv:2506.11436); defaults as in the paper.

    Where the released code differs from the paper, the default follows the paper and an option
    selects the behaviour of the code; `release_faithful` sets all of these options. A value that
    the paper does not state is that of the released code.

    Args:
        sam_config: Image encoder and mask decoder, a `PromptedSam2Config`.
        memory_config: Memory over the frames, a `Sam2MemoryConfig`.
        imagebind_config: Audio, image and text towers, an `ImageBindConfig`.
        num_queries: Number of queries, each with the mask of one object in each frame.
        num_words: Number of pseudo words that are computed from an audio token.
        decomposition_layers: Layers of each of the two stages that decompose the audio.
        query_heads: Attention heads of the first stage.
        token_heads: Attention heads of the second stage.
        stage1_mode: "chained" feeds the output of each layer of the first stage to the next;
            "last_only" is the loop of the released code, where only the last layer has an effect.
        stage2_pairing: "interleave" pairs each query with the audio of its own frame; "tile" is the
            order of the released code, which pairs queries with the audio of other frames.
        decomposition: Whether the audio is decomposed. Otherwise (an ablation of the paper) every
            query is the class token of the whole audio.
        pseudo_text: Whether pseudo text is part of the sparse prompt.
        dense_prompt: Whether the ImageBind token of the frame is the dense prompt; otherwise it is
            SAM's "no mask" embedding.
        detach_pseudo_text: Whether gradients stop at the pseudo text, as in the released code.
        readout: "last" uses the state at the last pseudo word; "argmax" uses the word that an
            untrained layer selects, as in the released code.
        adapters: Whether adapters add the audio to the input of every block of the image encoder.
        adapter_input_dim: Width of the audio features at the input of the adapters.
        adapter_dim: Hidden width of an adapter.
        spare_adapters: Number of additional adapters, which no block uses. The released code has
            one of them, so the published weights and parameter count include it.
        memory_at_test: Whether memory is used in evaluation. In training it is used for every clip
            of several frames. The released test code segments each frame independently.
        imagebind_size: Side of the images for ImageBind, in pixels.
        imagebind_statistics: "clip" normalises the images for ImageBind as in its training; "none"
            does not normalise them, as in the released code.
        blur_kernel: Side of the box filter that blurs the background of a mask, in pixels.
        prompt: Text for a name, with "{name}" as the placeholder.
        background: Name of the background class.
        name_score: Score of a name for a query, from its probabilities by the audio and by the
            masked image of the query: their "mean", or their "geometric" mean, which is low if one
            of them is.
        sem_fusion: Rule for the class of a pixel. "max": the class of the query with the largest
            product of score and mask probability at that pixel. "soft": the class with the largest
            sum of these products over all queries.
        a_scale: Factor of the cosines of audio with texts, besides the logit scale of the texts. It
            is 20 in the released code; with 1 audio has the same temperature as images.
        losses: Weights and options of the training losses, a `TavisLosses`.
        thresholds: Thresholds that are applied after training, a `TavisThresholds`.
    """

    model_type = "avseg-tavis"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "sam_config": PromptedSam2Config,
        "memory_config": Sam2MemoryConfig,
        "imagebind_config": ImageBindConfig,
        "losses": TavisLosses,
        "thresholds": TavisThresholds,
    }
    tiny_options: ClassVar[dict[str, Any]] = {
        "sam_config": TINY_SAM,
        # Clips of SynthAVS have five frames, so training cannot use a longer memory.
        "memory_config": Sam2MemoryConfig(
            frames=4, pointers=5, layers=2, ffn_dim=256, presence_cut=-2.0
        ),
        "imagebind_config": ImageBindConfig.tiny(),
        "adapter_dim": 64,
        "spare_adapters": 0,
        "imagebind_size": 128,
        "imagebind_statistics": "clip",
        "blur_kernel": 43,
        "prompt": NAME,
        "background": "nothing",
        "a_scale": 1.0,
        # On ms3/val the names of a frame reach an F1 of 0.94 with the geometric mean and four
        # candidates, and 0.79 at best with the mean, which a name of one sure tower can win alone.
        "name_score": "geometric",
        "losses": TavisLosses(match_points=1024),
        "thresholds": TavisThresholds(
            # The best pair of 1 to 8 candidates and of 0.01, 0.02, 0.03 and 0.05 on ms3/val.
            min_score=0.03,
            candidates=4,
            # On ms3/val the highest cosine with a name is at most 0.23 for white noise, and rarely
            # below 0.3 for a sounding object.
            min_similarity=0.25,
            # On ms3/val it reduces the share of off-screen frames with a mask from 80 to 29 %. J of
            # frames with a sounding object does not change (0.529 and 0.530).
            min_agreement=0.175,
        ),
    }

    sam_config: Any = None  # a configuration, or its options in a dictionary
    memory_config: Any = None
    imagebind_config: Any = None
    num_queries: int = 5
    num_words: int = 6
    decomposition_layers: int = 4
    query_heads: int = 8
    token_heads: int = 4
    stage1_mode: Literal["chained", "last_only"] = "chained"
    stage2_pairing: Literal["interleave", "tile"] = "interleave"
    decomposition: bool = True
    pseudo_text: bool = True
    dense_prompt: bool = True
    detach_pseudo_text: bool = False
    readout: Literal["last", "argmax"] = "last"
    adapters: bool = True
    adapter_input_dim: int = 128
    adapter_dim: int = 512
    spare_adapters: int = 1
    memory_at_test: bool = True
    imagebind_size: int = 112
    imagebind_statistics: Literal["none", "clip"] = "none"
    blur_kernel: int = 75
    prompt: str = "A {name}"
    background: str = "background"
    name_score: Literal["mean", "geometric"] = "mean"
    sem_fusion: Literal["max", "soft"] = "max"
    a_scale: float = 20.0
    losses: Any = None
    thresholds: Any = None

    def __post_init__(self, **kwargs: Any) -> None:
        # The paper uses images of 224 pixels; the default of `PromptedSam2Config` is SAM 2's 1024.
        if self.sam_config is None:
            self.sam_config = {"image_size": 224}
        if self.memory_config is None:
            # The released code adds 2 to the object score before it compares the score with 0.
            self.memory_config = {"presence_cut": -2.0}
        super().__post_init__(**kwargs)

    @classmethod
    def release_faithful(cls, **changes: Any) -> "TavisConfig":
        """Return the published sizes with every option as in the released code.

        Args:
            **changes: Options with another value.

        Returns:
            The configuration.
        """
        return cls(**(RELEASED | changes))

    @property
    def window_s(self) -> float:
        """Length of the audio window of a frame, in seconds."""
        return float(self.imagebind_config.audio.clip_s)

    @property
    def num_masks(self) -> int:
        """Number of masks of a frame: one for each query, and one of all sounding objects."""
        return self.num_queries + 1

    def validate_prompt(self) -> None:
        """Raise an error if the prompt does not have the placeholder exactly once."""
        if self.prompt.count(NAME) != 1:
            raise ValueError(f"prompt must have {NAME} in it once, got {self.prompt!r}.")

    def validate_blur(self) -> None:
        """Raise an error if the box filter has no centre pixel."""
        if self.blur_kernel < 1 or self.blur_kernel % 2 == 0:
            raise ValueError(f"blur_kernel must be odd and positive, got {self.blur_kernel}.")

    def validate_heads(self) -> None:
        """Raise an error if the attention heads do not divide the width of the audio tower."""
        if isinstance(self.imagebind_config, ImageBindConfig):
            # Decomposition works in the width of the audio tower, not in the joint space.
            width = self.imagebind_config.audio.width
            for option in ("query_heads", "token_heads"):
                if width % getattr(self, option):
                    raise ValueError(
                        f"{option} must divide the audio tower's width {width}, "
                        f"got {getattr(self, option)}."
                    )
