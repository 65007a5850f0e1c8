"""Query decomposition (IBQD): decomposes the audio of a frame into one token per object.

N frames, Q queries, L tokens of the audio, W width of the audio tower.
"""

import torch
from torch import Tensor, nn

from avseg.models.tavis.configuration import TavisConfig


class CrossAttention(nn.Module):
    """Cross-attention from queries to audio tokens, with residual connection and layer norm.

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

    def forward(
        self, queries: Tensor, audio_tokens: Tensor, positions: Tensor | None = None
    ) -> Tensor:
        """Update queries with the audio tokens that they attend to.

        Args:
            queries: (N, Q, W).
            audio_tokens: (N, L, W).
            positions: Added to the queries for the attention, not for the residual connection, (Q,
                W); None adds nothing.

        Returns:
            Queries, (N, Q, W).
        """
        positioned = queries if positions is None else queries + positions
        attended, _ = self.attention(positioned, audio_tokens, audio_tokens, need_weights=False)
        out: Tensor = self.norm(queries + attended)
        return out


class QueryDecomposition(nn.Module):
    """Decomposes the audio of a frame into one token per object (arXiv:2506.11436, IBQD).

    In stage 1 trainable queries attend to the tokens of the audio. In stage 2 each query becomes a
    bias that is added to the class token of the whole audio. So an object token stays close to the
    class tokens with which the frozen heads of ImageBind were trained.

    Args:
        config: Sizes, and how the layers are connected.
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

    def forward(self, audio_tokens: Tensor, audio_cls: Tensor) -> tuple[Tensor, Tensor]:
        """Decompose the audio of N frames.

        Args:
            audio_tokens: Tokens of the audio of each frame, (N, L, W).
            audio_cls: Class token of the audio of each frame, (N, W).

        Returns:
            The queries after stage 1 and the object tokens after stage 2, (N, Q, W) each.
        """
        # Stage 1. Every frame starts with the same trained queries.
        start = self.queries.weight.expand(len(audio_tokens), -1, -1)
        gathered = start
        for layer in self.gather:
            # The released code passes the initial queries to every layer ("last_only").
            before = gathered if self.is_chained else start
            gathered = layer(before, audio_tokens, self.query_positions.weight)
        # Stage 2. Object tokens (N, Q, W) attend to the audio tokens (N, L, W) of their own frame.
        tokens = audio_cls.unsqueeze(1) + self.bias(gathered)  # (N, Q, W)
        if self.is_interleaved:
            for layer in self.refine:
                tokens = layer(tokens, audio_tokens)
            return gathered, tokens
        return gathered, self._refine_tiled(tokens, audio_tokens)

    def _refine_tiled(self, tokens: Tensor, audio_tokens: Tensor) -> Tensor:
        """Refine the tokens with the pairing of the released code."""
        # Token i of all N * Q tokens attends to the audio of frame i modulo N. For N > 1 this is
        # the audio of another frame for most tokens.
        count, queries = tokens.shape[:2]
        index = torch.arange(count * queries, device=tokens.device) % count
        tokens = tokens.flatten(0, 1).unsqueeze(1)  # (N * Q, 1, W)
        for layer in self.refine:
            tokens = layer(tokens, audio_tokens[index])
        return tokens.view(count, queries, -1)
