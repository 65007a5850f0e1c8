"""Text-bridged hybrid prompting: a sound and a frame become the prompts of six masks.

N frames, Q queries, K = Q + 1 masks, n pseudo words, L tokens of a sound, W_a / W_v / W_t width of
ImageBind's audio / image / text tower, E prompt width, D width of what is heard, C_i width of
encoder block i.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from avseg.backbones.imagebind import ImageBind
from avseg.models.tavis.configuration import TavisConfig


@dataclass(frozen=True)
class Prompts:
    """Prompts of N frames, from their audio and their images.

    Attributes:
        objects: Audio token of each query, (N, Q, W).
        pseudo_text: Pseudo text of each query, then of the whole audio, (N, K, W_t); None without.
        sparse: Prompt token of each mask, (N, K, E).
        dense: Vector that is added at every position, (N, E); None for SAM's "no mask" embedding.
    """

    objects: Tensor
    pseudo_text: Tensor | None
    sparse: Tensor
    dense: Tensor | None


class PseudoText(nn.Module):
    """Makes words of a sound and lets ImageBind's frozen text tower read them.

    The tower is causal, so that words after those that are read change nothing: the 71 fillers
    with which the released code fills a text up are left out, and the result is the same.

    Args:
        config: Sizes, and which word's state is read out.
    """

    def __init__(self, config: TavisConfig) -> None:
        super().__init__()
        imagebind = config.imagebind_config
        self.num_words = config.num_words
        self.to_words = nn.Linear(imagebind.audio.width, config.num_words * imagebind.text.width)
        self.choose = None
        if config.readout == "argmax":
            self.choose = nn.Linear(imagebind.audio.width, config.num_words)

    def forward(self, sounds: Tensor, imagebind: ImageBind) -> Tensor:
        """Say sounds in pseudo text.

        Args:
            sounds: Tokens of whole sounds or of objects, (N, K, W_a).
            imagebind: The towers.

        Returns:
            State of the text tower at the word that is read out, (N, K, W_t).
        """
        shape = sounds.shape[:2]
        sounds = sounds.flatten(0, 1)
        words = self.to_words(sounds).unflatten(-1, (self.num_words, -1))  # (N * K, n, W_t)
        states = imagebind.encode_words(words)
        if self.choose is None:
            return states[:, -1].unflatten(0, shape)
        chosen = self.choose(sounds).argmax(dim=-1)
        rows = torch.arange(len(states), device=states.device)
        return states[rows, chosen].unflatten(0, shape)


class HybridPrompts(nn.Module):
    """Sparse prompts of what is heard and its pseudo text, dense prompts of what is seen.

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
        self.fuse = _mlp(2 * dim if config.pseudo_text else dim, dim)
        self.dense_proj = nn.Linear(imagebind.vision.width, dim) if config.dense_prompt else None

    def sparse(self, queries: Tensor, sound_cls: Tensor, pseudo_text: Tensor | None) -> Tensor:
        """Make a prompt token for each mask.

        Args:
            queries: What each query gathered of the sound, (N, Q, W_a).
            sound_cls: Token of the whole sound, (N, W_a).
            pseudo_text: Of each query, then of the whole sound, (N, K, W_t); None without.

        Returns:
            Prompt tokens, the whole sound's last, (N, K, E).
        """
        of_queries = self.query_mlp(self.query_proj(queries))
        of_whole = self.whole_proj(sound_cls).unsqueeze(1)
        prompts = torch.cat([of_queries, of_whole], dim=1)  # (N, K, E)
        if self.text_proj is not None and pseudo_text is not None:
            prompts = torch.cat([prompts, self.text_proj(pseudo_text)], dim=-1)
        fused: Tensor = self.fuse(prompts)
        return fused

    def dense(self, picture_cls: Tensor) -> Tensor | None:
        """Make the vector that is added at every position of the frame's embedding.

        Args:
            picture_cls: Token of the frame, (N, W_v).

        Returns:
            (N, E); None where SAM's "no mask" takes its place.
        """
        return None if self.dense_proj is None else self.dense_proj(picture_cls)


class AudioAdapters(nn.Module):
    """One small network for each block of the image encoder, as in SAMA-AVS (arXiv:2305.11019).

    Args:
        config: Sizes.
        block_dims: Input width C_i of each block.
    """

    def __init__(self, config: TavisConfig, block_dims: list[int]) -> None:
        super().__init__()
        self.count = len(block_dims)
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

    def forward(self, sound_tokens: Tensor) -> list[Tensor]:
        """Make a vector for every block of the image encoder.

        Args:
            sound_tokens: Of each frame's sound, (N, L, W_a).

        Returns:
            One (N, C_i) tensor for each block i.
        """
        heard = self.heard(sound_tokens).mean(dim=1)  # (N, D)
        return [block(heard) for block in self.blocks[: self.count]]


def _mlp(in_dim: int, dim: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(in_dim, dim), nn.ReLU(), nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, dim)
    )
