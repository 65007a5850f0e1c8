"""Query decomposition in ImageBind's space: one sound becomes a token for each object in it (IBQD).

N frames, Q queries, L tokens of a sound, W width of the audio tower.
"""

import torch
from torch import Tensor, nn

from avseg.models.tavis.configuration import TavisConfig


class CrossAttention(nn.Module):
    """Queries look at a sound; what they find is added and normalised.

    Args:
        width: W.
        heads: Attention heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, queries: Tensor, sounds: Tensor, positions: Tensor | None = None) -> Tensor:
        """Look at sounds.

        Args:
            queries: (N, Q, W).
            sounds: (N, L, W).
            positions: Added to the queries for looking only, (Q, W); None adds nothing.

        Returns:
            Queries, (N, Q, W).
        """
        looking = queries if positions is None else queries + positions
        found, _ = self.attention(looking, sounds, sounds, need_weights=False)
        out: Tensor = self.norm(queries + found)
        return out


class QueryDecomposition(nn.Module):
    """Decomposes a sound into the tokens of its objects (arXiv:2506.11436, IBQD).

    Learned queries gather parts of the sound; each then is a bias on the whole sound's token, so
    that what comes out stays near what ImageBind's heads were trained on.

    Args:
        config: Sizes, and how the layers follow each other.
    """

    def __init__(self, config: TavisConfig) -> None:
        super().__init__()
        width = config.imagebind_config.audio.width
        layers = range(config.decomposition_layers)
        self.is_chained = config.stage1_mode == "chained"
        self.is_interleaved = config.stage2_pairing == "interleave"
        self.queries = nn.Embedding(config.num_queries, width)
        self.query_positions = nn.Embedding(config.num_queries, width)
        self.gather = nn.ModuleList(CrossAttention(width, config.query_heads) for _ in layers)
        self.bias = nn.Linear(width, width)
        self.refine = nn.ModuleList(CrossAttention(width, config.token_heads) for _ in layers)

    def forward(self, sound_tokens: Tensor, sound_cls: Tensor) -> tuple[Tensor, Tensor]:
        """Decompose sounds.

        Args:
            sound_tokens: Tokens of each frame's sound, (N, L, W).
            sound_cls: Its class token, (N, W).

        Returns:
            The queries with what they gathered, and the tokens of the objects, (N, Q, W) each.
        """
        start = self.queries.weight.expand(len(sound_tokens), -1, -1)
        gathered = start
        for layer in self.gather:
            before = gathered if self.is_chained else start
            gathered = layer(before, sound_tokens, self.query_positions.weight)
        tokens = sound_cls.unsqueeze(1) + self.bias(gathered)  # (N, Q, W)
        if self.is_interleaved:  # each query is alone with its frame's sound
            for layer in self.refine:
                tokens = layer(tokens, sound_tokens)
            return gathered, tokens
        return gathered, self._refine_tiled(tokens, sound_tokens)

    def _refine_tiled(self, tokens: Tensor, sound_tokens: Tensor) -> Tensor:
        """Refine tokens with sounds in the released order: token i hears sound i modulo N."""
        count, queries = tokens.shape[:2]
        heard = torch.arange(count * queries, device=tokens.device) % count
        tokens = tokens.flatten(0, 1).unsqueeze(1)  # (N * Q, 1, W)
        for layer in self.refine:
            tokens = layer(tokens, sound_tokens[heard])
        return tokens.view(count, queries, -1)
