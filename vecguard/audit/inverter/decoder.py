"""The generative inverter in plain numpy: the network of vecguard/audit/training/network.py, one token at a time.

A text of 20 tokens costs about 0.1 GFLOP, so numpy's matrix products are enough and neither torch nor an exported
graph is needed. Keys and values of earlier positions are kept, as in every decoder that writes token by token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecguard.audit.inverter.architecture import EPSILON, Architecture
from vecguard.audit.inverter.vocabulary import BEGIN
from vecguard.errors import ConfigError, InvalidArgument

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Weights = Mapping[str, Floats]

# Coefficients of the error function, |error| < 1.5e-7: Abramowitz & Stegun, Handbook of Mathematical Functions, 7.1.26.
ERF = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)
ERF_P = 0.3275911


@dataclass(frozen=True)
class Writing:
    """Texts that are being written, one a row.

    keys, values: float32 (layers, rows, heads, positions so far, width / heads).
    bias: float32 (rows, width), of each row's embedding on every position.
    evidence: float32 (rows, vocabulary), the log-odds that the row's text holds each token.
    written: how many tokens each row has behind BEGIN.
    """

    keys: tuple[Floats, ...]
    values: tuple[Floats, ...]
    bias: Floats
    evidence: Floats
    written: int

    def select(self, rows: Ints) -> Writing:
        """The writing of the chosen rows, in that order; a row may be chosen several times."""
        return Writing(
            tuple(part[rows] for part in self.keys),
            tuple(part[rows] for part in self.values),
            self.bias[rows],
            self.evidence[rows],
            self.written,
        )


class Decoder:
    """Log-probabilities of the next token given an embedding and what was written before."""

    def __init__(self, shape: Architecture, weights: Weights) -> None:
        """`weights` are named as in the torch network's state, and all float32.

        Raises:
            ConfigError: a weight is missing or has another shape than the architecture gives it.
        """
        self.shape = shape
        self.weights = weights
        for name, expected in weight_shapes(shape).items():
            if name not in weights or weights[name].shape != expected:
                found = weights[name].shape if name in weights else "nothing"
                raise ConfigError(f"inverter checkpoint: weight {name} should be {expected}, found {found}")

    def word_evidence(self, embeddings: Floats) -> Floats:
        """Log-odds, float32 (n, vocabulary), that the text of each embedding (n, dims) holds each token."""
        scale = np.float32(self.shape.dims**0.5)
        features = gelu(self._linear("evidence_in", embeddings * scale))
        evidence = embeddings * scale + self._linear("evidence_out", features)
        return np.asarray((evidence / scale) @ self.weights["words"].T + self.weights["word_bias"], dtype=np.float32)

    def begin(self, embeddings: Floats, hypotheses: Ints | None = None, found: Floats | None = None) -> Writing:
        """Texts of which nothing is written yet.

        Args:
            embeddings: float32 (n, dims), unit rows.
            hypotheses: for a corrector, int64 (n, any): tokens, then END, then PAD.
            found: for a corrector, float32 (n, dims): the embeddings of the hypotheses.

        Raises:
            InvalidArgument: another number of dimensions, or hypotheses where there is no corrector, or none for it.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != self.shape.dims:
            raise InvalidArgument(f"the inverter wants embeddings (n, {self.shape.dims}), got {embeddings.shape}")
        if (hypotheses is not None and found is not None) != self.shape.corrects:
            raise InvalidArgument("hypotheses and their embeddings belong to a corrector, and a corrector needs them")
        source = embeddings if found is None else np.concatenate([embeddings, found, embeddings - found], axis=1)
        hidden = gelu(self._linear("condition_in", source * np.float32(self.shape.dims**0.5)))
        parts = self._linear("condition_out", hidden).reshape(len(embeddings), self.shape.prefix + 1, -1)
        stream = parts[:, 1:]
        if hypotheses is not None:
            read = self.weights["tokens"][hypotheses] + self.weights["positions"][: hypotheses.shape[1]]
            stream = np.concatenate([stream, read + self.weights["hypothesis_mark"]], axis=1)
        heads = self.shape.heads
        nothing = np.empty((len(embeddings), heads, 0, self.shape.width // heads), dtype=np.float32)
        empty = (nothing,) * self.shape.layers
        writing = Writing(empty, empty, parts[:, 0], self.word_evidence(embeddings), 0)
        return self._advance(stream, writing, 0)[1]

    def first(self, writing: Writing) -> tuple[Floats, Writing]:
        """`next` after BEGIN."""
        return self.next(writing, np.full(len(writing.bias), BEGIN, dtype=np.int64))

    def next(self, writing: Writing, tokens: Ints) -> tuple[Floats, Writing]:
        """Writes one token in every row.

        Args:
            writing: fewer than `shape.length` tokens were written.
            tokens: int64 (rows,).

        Returns:
            Log-probabilities of the token that follows, float32 (rows, vocabulary), and the new writing.
        """
        read = self.weights["tokens"][tokens] + self.weights["positions"][writing.written] + writing.bias
        stream, after = self._advance(read[:, None], writing, 1)
        state = rms_norm(stream[:, -1], self.weights["final_norm"])
        logits = state @ self.weights["tokens"].T + self.weights["token_bias"]
        logits += self._linear("gate", state) * after.evidence
        return log_softmax(logits), after

    def _advance(self, stream: Floats, writing: Writing, tokens: int) -> tuple[Floats, Writing]:
        keys, values = [], []
        for layer in range(self.shape.layers):
            name = f"blocks.{layer}."
            mixed = (
                rms_norm(stream, self.weights[name + "attention_norm"]) @ self.weights[name + "attention_in.weight"].T
            )
            query, key, value = np.moveaxis(mixed.reshape(*stream.shape[:2], 3, self.shape.heads, -1), 2, 0)
            keys.append(np.concatenate([writing.keys[layer], key.swapaxes(1, 2)], axis=2))
            values.append(np.concatenate([writing.values[layer], value.swapaxes(1, 2)], axis=2))
            read = attend(query.swapaxes(1, 2), keys[-1], values[-1]).swapaxes(1, 2).reshape(stream.shape)
            stream = stream + read @ self.weights[name + "attention_out.weight"].T
            hidden = rms_norm(stream, self.weights[name + "feed_norm"]) @ self.weights[name + "feed_in.weight"].T
            stream = stream + np.square(np.maximum(hidden, 0)) @ self.weights[name + "feed_out.weight"].T
        return stream, Writing(tuple(keys), tuple(values), writing.bias, writing.evidence, writing.written + tokens)

    def _linear(self, name: str, inputs: Floats) -> Floats:
        product: Floats = inputs @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]
        return product


def attend(query: Floats, keys: Floats, values: Floats) -> Floats:
    """Causal attention of the newest positions (rows, heads, new, size) over all (rows, heads, positions, size)."""
    new, positions = query.shape[2], keys.shape[2]
    scores = query @ keys.swapaxes(2, 3) / np.float32(query.shape[3] ** 0.5)
    if new > 1:
        future = np.arange(positions)[None, :] > np.arange(positions - new, positions)[:, None]
        scores = np.where(future, np.float32(-np.inf), scores)
    scores = np.exp(scores - scores.max(axis=3, keepdims=True))
    read: Floats = (scores / scores.sum(axis=3, keepdims=True)) @ values
    return read


def rms_norm(stream: Floats, weight: Floats) -> Floats:
    """`x / sqrt(mean(x^2) + EPSILON) * weight` over the last axis."""
    mean = np.mean(np.square(stream), axis=-1, keepdims=True)
    scaled: Floats = stream / np.sqrt(mean + np.float32(EPSILON)) * weight
    return scaled


def gelu(inputs: Floats) -> Floats:
    """`x * Phi(x)` (Hendrycks & Gimpel 2016), Phi the normal distribution function."""
    scaled = np.abs(inputs) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(ERF_P) * scaled)
    series = np.zeros_like(t)
    for coefficient in reversed(ERF):
        series = (series + np.float32(coefficient)) * t
    erf = np.sign(inputs) * (1 - series * np.exp(-np.square(scaled)))
    return np.asarray(inputs * (1 + erf) * np.float32(0.5), dtype=np.float32)


def log_softmax(logits: Floats) -> Floats:
    """Over the last axis."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    normal: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return normal


def weight_shapes(shape: Architecture) -> dict[str, tuple[int, ...]]:
    """The name and shape of every weight of the network."""
    width, dims, vocabulary = shape.width, shape.dims, shape.vocabulary
    sizes: dict[str, tuple[int, ...]] = {
        "tokens": (vocabulary, width),
        "positions": (shape.length, width),
        "condition_in.weight": (shape.condition, dims * (3 if shape.corrects else 1)),
        "condition_in.bias": (shape.condition,),
        "condition_out.weight": ((shape.prefix + 1) * width, shape.condition),
        "condition_out.bias": ((shape.prefix + 1) * width,),
        "words": (vocabulary, dims),
        "word_bias": (vocabulary,),
        "final_norm": (width,),
        "gate.weight": (1, width),
        "gate.bias": (1,),
        "token_bias": (vocabulary,),
    }
    for name in ("evidence_in", "evidence_out"):
        sizes |= {f"{name}.weight": (dims, dims), f"{name}.bias": (dims,)}
    for layer in range(shape.layers):
        name = f"blocks.{layer}."
        sizes |= {name + "attention_norm": (width,), name + "feed_norm": (width,)}
        sizes |= {name + "attention_in.weight": (3 * width, width), name + "attention_out.weight": (width, width)}
        sizes |= {name + "feed_in.weight": (shape.feed, width), name + "feed_out.weight": (width, shape.feed)}
    if shape.corrects:
        sizes["hypothesis_mark"] = (width,)
    return sizes
