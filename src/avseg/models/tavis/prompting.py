"""Text-bridged hybrid prompting: computes the prompts of K masks from the audio and the image.

N frames, Q queries, K = Q + 1 masks, n pseudo words, L audio tokens, W_a / W_v / W_t width of
ImageBind's audio / image / text tower, E prompt width, D width of the adapter input, C_i width of
encoder block i.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avseg.backbones.imagebind import ImageBind
from avseg.models.tavis.configuration import TavisConfig


@dataclass(frozen=True)
class Prompts:
    """Prompts of N frames, computed from their audio and their images.

    Attributes:
        objects: Audio token of each query, (N, Q, W_a).
        pseudo_text: Pseudo text of each query, then of the whole audio, (N, K, W_t); None if the
            model has no pseudo text.
        sparse: Prompt token of each mask, (N, K, E).
        dense: Vector that is added at every position of the image features, (N, E); None for SAM's
            "no mask" embedding.
    """

    objects: Tensor
    pseudo_text: Tensor | None
    sparse: Tensor
    dense: Tensor | None


class PseudoText(nn.Module):
    """Conversion of audio tokens to pseudo words, which ImageBind's frozen text tower encodes.

    The tower is causal, so a word has no effect on the states of the words before it. The released
    code appends 71 padding words; here they are omitted, with the same result.

    Args:
        config: Sizes, and the rule that selects the state of one word.
    """

    def __init__(self, config: TavisConfig) -> None:
        super().__init__()
        imagebind = config.imagebind_config
        self.num_words = config.num_words
        self.to_words = nn.Linear(imagebind.audio.width, config.num_words * imagebind.text.width)
        self.choose = None
        if config.readout == "argmax":
            self.choose = nn.Linear(imagebind.audio.width, config.num_words)

    def forward(self, audio: Tensor, imagebind: ImageBind) -> Tensor:
        """Encode audio tokens as pseudo text.

        Args:
            audio: Tokens of the objects or of the whole audio, (N, K, W_a).
            imagebind: The towers.

        Returns:
            State of the text tower at the selected word, (N, K, W_t).
        """
        shape = audio.shape[:2]
        audio = audio.flatten(0, 1)
        words = self.to_words(audio).unflatten(-1, (self.num_words, -1))  # (N * K, n, W_t)
        states = imagebind.encode_words(words)
        if self.choose is None:
            return states[:, -1].unflatten(0, shape)
        # The released code selects the word by argmax. This has no gradient, so the layer keeps its
        # random initialisation.
        chosen = self.choose(audio).argmax(dim=-1)
        index = torch.arange(len(states), device=states.device)
        return states[index, chosen].unflatten(0, shape)


class HybridPrompts(nn.Module):
    """Sparse prompts from audio and pseudo text, dense prompts from the image.

    Args:
        config: Sizes, and which prompts are used.
    """

    def __init__(self, config: TavisConfig) -> None:
        super().__init__()
        imagebind, dim = config.imagebind_config, config.sam_config.prompt_dim
        self.query_proj = nn.Linear(imagebind.audio.width, dim)
        self.query_mlp = _mlp(dim, dim)
        self.whole_proj = nn.Linear(imagebind.audio.width, dim)
        self.text_proj = nn.Linear(imagebind.text.width, dim) if config.pseudo_text else None
        # The fusion takes audio and pseudo text side by side, or audio alone in the ablation.
        self.fuse = _mlp(2 * dim if config.pseudo_text else dim, dim)
        self.dense_proj = nn.Linear(imagebind.vision.width, dim) if config.dense_prompt else None

    def sparse(self, queries: Tensor, audio_cls: Tensor, pseudo_text: Tensor | None) -> Tensor:
        """Compute the prompt token of each mask.

        Args:
            queries: Queries after the first stage of the decomposition, (N, Q, W_a).
            audio_cls: Class token of the whole audio, (N, W_a).
            pseudo_text: Pseudo text of each query, then of the whole audio, (N, K, W_t); None if
                the model has no pseudo text.

        Returns:
            Prompt tokens, (N, K, E); the last one is the token of the whole audio.
        """
        # As in the released code, the whole audio has its own projection and no perceptron.
        query_prompts = self.query_mlp(self.query_proj(queries))
        whole_prompt = self.whole_proj(audio_cls).unsqueeze(1)
        prompts = torch.cat([query_prompts, whole_prompt], dim=1)  # (N, K, E)
        if self.text_proj is not None and pseudo_text is not None:
            prompts = torch.cat([prompts, self.text_proj(pseudo_text)], dim=-1)  # (N, K, 2 * E)
        fused: Tensor = self.fuse(prompts)
        return fused

    def dense(self, image_cls: Tensor) -> Tensor | None:
        """Compute the vector that is added at every position of the image features.

        Args:
            image_cls: Class token of each frame, (N, W_v).

        Returns:
            (N, E); None if SAM's "no mask" embedding is used instead.
        """
        return None if self.dense_proj is None else self.dense_proj(image_cls)


class AudioAdapters(nn.Module):
    """One small network for each block of the image encoder, as in SAMA-AVS (arXiv:2305.11019).

    Args:
        config: Sizes.
        block_dims: Input width C_i of each block.
    """

    def __init__(self, config: TavisConfig, block_dims: list[int]) -> None:
        super().__init__()
        self.count = len(block_dims)
        # The released code builds one adapter more than the encoder has blocks. It is never used,
        # but published weights contain it.
        dims = block_dims + config.sam_config.embed_dims[-1:] * config.spare_adapters
        self.heard = nn.Linear(config.imagebind_config.audio.width, config.adapter_input_dim)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Linear(config.adapter_input_dim, config.adapter_dim),
                nn.GELU(),
                nn.Linear(config.adapter_dim, dim),
            )
            for dim in dims
        )
        for module in self.blocks.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, audio_tokens: Tensor) -> list[Tensor]:
        """Compute the vector that is added to the input of each block.

        Args:
            audio_tokens: Tokens of the audio of each frame, (N, L, W_a).

        Returns:
            One (N, C_i) tensor for each block i.
        """
        # The mean over all tokens of the projected audio; a block gets one vector for all
        # positions.
        audio = self.heard(audio_tokens).mean(dim=1)  # (N, D)
        return [block(audio) for block in self.blocks[: self.count]]


def _mlp(in_dim: int, dim: int) -> nn.Sequential:
    """Build a perceptron of three linear layers with ReLU between them."""
    return nn.Sequential(
        nn.Linear(in_dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
    )
