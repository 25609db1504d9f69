"""The generative inverter as a torch network: a transformer decoder that writes the text of an embedding.

One network serves as base (embedding -> text: GEIA, Li et al., "Sentence Embedding Leaks More Information than You
Expect", ACL Findings 2023; the base stage of Vec2Text, Morris et al., "Text Embeddings Reveal (Almost) As Much As
Text", EMNLP 2023) and as corrector (embedding, hypothesis and its embedding -> better text: Vec2Text, section 4).

- The embedding enters as PREFIX tokens before the text, as a bias on every position, and as word evidence: a small
  perceptron from the embedding onto the vocabulary (multi-label prediction, Song & Raghunathan, CCS 2020), which the
  decoder adds to its output logits with a weight that it chooses anew at every position.
- Pre-norm blocks with RMS norm (Zhang & Sennrich 2019), squared ReLU (So et al. 2021), output weights tied to the
  token table (Press & Wolf 2017).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vecguard.audit.inverter.architecture import EPSILON, Architecture


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each on the normalised residual stream."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        width = shape.width
        self.heads = shape.heads
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.attention_in = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_norm = nn.Parameter(torch.ones(width))
        self.feed_in = nn.Linear(width, shape.feed, bias=False)
        self.feed_out = nn.Linear(shape.feed, width, bias=False)

    def forward(self, stream: Tensor, mask: Tensor | None) -> Tensor:
        rows, length, width = stream.shape
        mixed = self.attention_in(norm(stream, self.attention_norm))
        heads = mixed.view(rows, length, 3, self.heads, width // self.heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        read = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=mask is None)
        stream = stream + self.attention_out(read.transpose(1, 2).reshape(rows, length, width))
        hidden = functional.relu(self.feed_in(norm(stream, self.feed_norm))).square()
        fed: Tensor = stream + self.feed_out(hidden)
        return fed


@dataclass(frozen=True)
class Reading:
    """What the network makes of a batch of embeddings: `evidence` are the features of the word evidence."""

    prefix: Tensor  # (rows, PREFIX, width)
    bias: Tensor  # (rows, width)
    evidence: Tensor  # (rows, dims)


class InverterNetwork(nn.Module):
    """See the module. All tables are float32."""

    def __init__(self, shape: Architecture) -> None:
        super().__init__()
        self.shape = shape
        width, dims = shape.width, shape.dims
        sources = dims * (3 if shape.corrects else 1)
        self.tokens = nn.Parameter(torch.randn(shape.vocabulary, width) * 0.02)
        self.positions = nn.Parameter(torch.randn(shape.length, width) * 0.02)
        self.condition_in = nn.Linear(sources, shape.condition)
        self.condition_out = nn.Linear(shape.condition, (shape.prefix + 1) * width)
        self.evidence_in = nn.Linear(dims, dims)
        self.evidence_out = nn.Linear(dims, dims)
        self.words = nn.Parameter(torch.randn(shape.vocabulary, dims) * 0.02)
        self.word_bias = nn.Parameter(torch.zeros(shape.vocabulary))
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.final_norm = nn.Parameter(torch.ones(width))
        self.gate = nn.Linear(width, 1)
        self.token_bias = nn.Parameter(torch.zeros(shape.vocabulary))
        if shape.corrects:
            self.hypothesis_mark = nn.Parameter(torch.randn(width) * 0.02)
        self._shrink_residuals()

    def _shrink_residuals(self) -> None:
        # Each block starts close to the identity (GPT-2's initialisation scale).
        for name, weight in self.blocks.named_parameters():
            if name.endswith(("attention_out.weight", "feed_out.weight")):
                nn.init.normal_(weight, std=0.02 / (2 * self.shape.layers) ** 0.5)
        nn.init.zeros_(self.evidence_out.weight)
        nn.init.zeros_(self.evidence_out.bias)
        nn.init.zeros_(self.gate.weight)
        nn.init.constant_(self.gate.bias, 0.5)

    def start_from_words(self, spelled: Tensor, frequency: Tensor) -> None:
        """Starts the tables from each token's own embedding, and the biases from token frequencies.

        Args:
            spelled: float32 (vocabulary, dims), the embedder's unit embedding of each token as a text; 0 where it has
                none.
            frequency: float32 (vocabulary,), the share of training texts that hold the token, above 0.
        """
        known = spelled.norm(dim=1) > 0
        centred = torch.where(known[:, None], spelled - spelled[known].mean(dim=0), 0.0)
        axes = torch.linalg.svd(centred[known], full_matrices=False).Vh[: self.shape.width]
        with torch.no_grad():
            self.words.copy_(8.0 * centred)
            self.word_bias.copy_(torch.logit(frequency.clamp(1e-6, 0.99)))
            self.token_bias.copy_(torch.log(frequency) - torch.log(frequency).max())
            reduced = centred @ axes.T
            scale = 0.02 / reduced[known].std()
            width = reduced.shape[1]
            self.tokens[:, :width] += reduced * scale

    def read(self, embeddings: Tensor, hypotheses: Tensor | None = None) -> Reading:
        """The conditioning of unit embeddings (rows, dims); a corrector also wants those of its hypotheses."""
        source = embeddings
        if hypotheses is not None:
            source = torch.cat([embeddings, hypotheses, embeddings - hypotheses], dim=1)
        scale = self.shape.dims**0.5
        hidden = functional.gelu(self.condition_in(source * scale))
        flat = self.condition_out(hidden).view(len(embeddings), self.shape.prefix + 1, self.shape.width)
        # Components of a unit vector are of size 1/sqrt(dims); layers want inputs of size 1.
        features = functional.gelu(self.evidence_in(embeddings * scale))
        evidence = embeddings * scale + self.evidence_out(features)
        return Reading(flat[:, 1:], flat[:, 0], evidence / scale)

    def forward(self, reading: Reading, tokens: Tensor, hypothesis: Tensor | None = None) -> Tensor:
        """The final states that predict the token after each of `tokens`.

        Args:
            reading: of `rows` embeddings.
            tokens: int64 (rows, length), beginning with BEGIN.
            hypothesis: int64 (rows, any), for a corrector: END and padding after the text.

        Returns:
            float32 (rows, length, width).
        """
        length = tokens.shape[1]
        written = self.tokens[tokens] + self.positions[:length] + reading.bias[:, None]
        parts = [reading.prefix, written]
        if hypothesis is not None:
            parts.insert(1, self.tokens[hypothesis] + self.positions[: hypothesis.shape[1]] + self.hypothesis_mark)
        stream = torch.cat(parts, dim=1)
        for block in self.blocks:
            stream = block(stream, None)
        return norm(stream[:, -length:], self.final_norm)

    def logits(self, states: Tensor, reading: Reading, columns: Tensor) -> Tensor:
        """Output logits (rows, length, len(columns)) for the given token numbers."""
        evidence = self.word_logits(reading, columns)
        plain = states @ self.tokens[columns].T + self.token_bias[columns]
        weighed: Tensor = plain + self.gate(states) * evidence[:, None]
        return weighed

    def word_logits(self, reading: Reading, columns: Tensor) -> Tensor:
        """Log-odds (rows, len(columns)) that the text holds each token."""
        return reading.evidence @ self.words[columns].T + self.word_bias[columns]


def norm(stream: Tensor, weight: Tensor) -> Tensor:
    """RMS norm over the last axis: `x / sqrt(mean(x^2) + EPSILON) * weight`."""
    return functional.rms_norm(stream, weight.shape, weight, EPSILON)
