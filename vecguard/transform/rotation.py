"""Keyed orthogonal transforms: a Haar matrix for usual sizes, a butterfly of Haar blocks for long vectors.

Both keep lengths, angles and distances to float32 precision and mix every coordinate into every other, so the axes of
the embedding model are hidden, which neither a permutation nor sign flips would do.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from vecguard.errors import InvalidArgument
from vecguard.keys.key import Key
from vecguard.transform.base import Floats, Subkey, TransformSpec
from vecguard.transform.keystream import wide_normals, words

MAX_HAAR_DIMS: Final = 512
# Without a factor for the butterfly a Haar matrix still serves, up to where it costs 64 MB and a few seconds to make.
MAX_UNFACTORED_DIMS: Final = 4096
MIN_BLOCK: Final = 16
MAX_BLOCK: Final = 96
PREFERRED_BLOCK: Final = 64
MIN_LAYERS: Final = 3
_PERMUTATION: Final = 2**32 - 1


class HaarRotation:
    """y = R x with R uniform over the orthogonal group O(dims) (up to the PRF). Costs dims² per vector."""

    def __init__(self, key: Key, dims: int) -> None:
        self.dims = dims
        # Transposed, because rows times a plain matrix is what writes do, and 15 % faster.
        self._transposed = np.ascontiguousarray(haar_matrix(key, dims, layer=0, block=0).T, np.float32)

    def apply(self, x: Floats) -> Floats:
        """(n, dims) float32 to (n, dims) float32."""
        return x @ self._transposed

    def invert(self, y: Floats) -> Floats:
        """(n, dims) float32 to (n, dims) float32."""
        return y @ self._transposed.T

    def describe(self) -> str:
        """The family, in plain words."""
        angles = self.dims * (self.dims - 1) // 2
        return f"a uniformly random (Haar) rotation of all {self.dims} dimensions, {angles} secret angles"


class ButterflyRotation:
    """y = B_L P_L ... B_1 P_1 x: keyed permutations P and block-diagonal keyed Haar blocks B of b x b.

    Layers are added, at least three, until every output depends on every input. Costs L·b per coordinate instead of
    dims. It is exactly orthogonal but not Haar: it has L·dims·(b-1)/2 secret angles instead of dims·(dims-1)/2, so a
    solver that knows the structure may need fewer leaked pairs than for a Haar rotation.
    """

    def __init__(self, key: Key, dims: int, block: int) -> None:
        self.dims = dims
        self.block = block
        self._permutations: list[npt.NDArray[np.intp]] = []
        self._blocks: list[npt.NDArray[np.float32]] = []
        reach = np.eye(dims // block, dtype=bool)
        while len(self._blocks) < MIN_LAYERS or not reach.all():
            layer = len(self._blocks)
            permutation = keyed_permutation(key, dims, layer)
            self._permutations.append(permutation)
            matrices = [haar_matrix(key, block, layer, index) for index in range(dims // block)]
            self._blocks.append(np.stack(matrices).astype(np.float32))
            reach = _next_reach(reach, permutation, block) if layer else reach
        sources = [permutation.reshape(-1, block) for permutation in self._permutations]
        self._layers = list(zip(sources, self._blocks, strict=True))
        self._inverses = [np.argsort(permutation) for permutation in self._permutations]

    @property
    def layers(self) -> int:
        """How many layers of blocks there are."""
        return len(self._blocks)

    def apply(self, x: Floats) -> Floats:
        """(n, dims) float32 to (n, dims) float32."""
        columns = np.ascontiguousarray(x.T)
        # Permuted and cut into blocks by one `take`: for one vector, as in a search, each array that is made counts.
        for sources, blocks in self._layers:
            columns = np.matmul(blocks, columns.take(sources, axis=0)).reshape(self.dims, -1)
        return np.ascontiguousarray(columns.T)

    def invert(self, y: Floats) -> Floats:
        """(n, dims) float32 to (n, dims) float32."""
        columns = np.ascontiguousarray(y.T)
        for inverse, blocks in zip(reversed(self._inverses), reversed(self._blocks), strict=True):
            columns = self._multiply(blocks.transpose(0, 2, 1), columns).take(inverse, axis=0)
        return np.ascontiguousarray(columns.T)

    def describe(self) -> str:
        """The family, in plain words."""
        angles = self.layers * self.dims * (self.block - 1) // 2
        return (
            f"a fast rotation of all {self.dims} dimensions in {self.layers} layers of random"
            f" {self.block} x {self.block} blocks, {angles} secret angles (not uniformly random)"
        )

    def _multiply(self, blocks: Floats, columns: Floats) -> Floats:
        stacked = columns.reshape(len(blocks), self.block, -1)
        return np.asarray(np.matmul(blocks, stacked).reshape(self.dims, -1))


class Rotation:
    """The keyed rotation for `dims`: Haar up to 512, above that a butterfly where `dims` has a factor in 16..96."""

    invertible: Final = True
    isometric: Final = True

    def __init__(self, key: Key, dims: int) -> None:
        """Make the matrices (about 0.1 s at 512 dimensions; keep the object).

        Raises:
            InvalidArgument: more than 4096 dimensions without a factor in 16..96.
        """
        self.dims_in = self.dims_out = dims
        block = block_size(dims)
        self._form = HaarRotation(key, dims) if block is None else ButterflyRotation(key, dims, block)

    def apply(self, x: Floats) -> Floats:
        """Rotate stored vectors: (n, dims) float32 to (n, dims) float32."""
        return self._form.apply(x)

    def query(self, q: Floats) -> Floats:
        """Rotate queries: the same map, so dot products and distances are kept."""
        return self._form.apply(q)

    def invert(self, y: Floats) -> Floats:
        """Rotate back: (n, dims) float32 to (n, dims) float32."""
        return self._form.invert(y)

    def describe(self) -> list[str]:
        """Plain sentences for `policy explain`."""
        return [
            f"Vectors and queries go through {self._form.describe()}, secret per collection and vector name.",
            "Against a thief of the database (A) and a curious operator (C): a text-inversion model for the embedding"
            " model cannot be used as it is. Distances among stored records stay visible, so clusters and"
            " near-duplicates can be seen.",
            "Against a thief with leaked pairs (B): a few pairs tell known records apart, and a rotation alone is known"
            " whole from about as many pairs as dimensions; add noise.",
        ]


def haar_matrix(key: Key, dims: int, layer: int, block: int) -> npt.NDArray[np.float64]:
    """A Haar-distributed orthogonal matrix: Q of the QR factorisation of a Gaussian matrix, with the diagonal of R made
    positive (Stewart, SIAM J. Numer. Anal. 17, 1980; Mezzadri, Notices AMS 54, 2007).

    Row i of the Gaussian matrix is `wide_normals` for the nonce uint32 BE layer || block || i.

    Returns:
        (dims, dims) float64.
    """
    gaussian = wide_normals(key, _nonces(layer, block, dims), dims)
    orthogonal, triangular = np.linalg.qr(gaussian)
    signs = np.where(np.diagonal(triangular) < 0, -1.0, 1.0)
    return orthogonal * signs


def keyed_permutation(key: Key, dims: int, layer: int) -> npt.NDArray[np.intp]:
    """A permutation of range(dims): the stable order of `dims` 64-bit words from the keystream.

    Word i has the low half w[2i] and the high half w[2i + 1] of the nonce uint32 BE layer || 2^32 - 1 || 0.
    """
    stream = words(key, _nonces(layer, _PERMUTATION, 1), 2 * dims)[0].astype(np.uint64)
    return np.argsort(stream[0::2] | stream[1::2] << np.uint64(32), kind="stable")


def _nonces(layer: int, block: int, rows: int) -> npt.NDArray[np.uint8]:
    triples = np.empty((rows, 3), ">u4")
    triples[:, 0], triples[:, 1], triples[:, 2] = layer, block, np.arange(rows)
    return triples.view(np.uint8)


def block_size(dims: int) -> int | None:
    """Size of a butterfly's blocks for so many dimensions, None where one Haar matrix does it all. Costs nothing.

    Raises:
        InvalidArgument: more than 4096 dimensions without a factor in 16..96, which cannot be rotated.
    """
    if dims <= MAX_HAAR_DIMS:
        return None
    factors = [b for b in range(MIN_BLOCK, MAX_BLOCK + 1) if dims % b == 0]
    if not factors and dims > MAX_UNFACTORED_DIMS:
        raise InvalidArgument(
            f"vectors of {dims} dimensions cannot be rotated: above {MAX_UNFACTORED_DIMS} the number of dimensions"
            f" needs a factor between {MIN_BLOCK} and {MAX_BLOCK}"
        )
    return min(factors, key=lambda b: (abs(b - PREFERRED_BLOCK), b), default=None)


def _next_reach(reach: npt.NDArray[np.bool_], permutation: npt.NDArray[np.intp], block: int) -> npt.NDArray[np.bool_]:
    """reach[i, j]: block i of this layer depends on block j of the first; a Haar block mixes all that enters it."""
    sources = permutation.reshape(-1, block) // block
    return np.stack([reach[row].any(axis=0) for row in sources])


def build(spec: TransformSpec, dims: int, subkey: Subkey) -> Rotation:
    """Registry entry.

    Raises:
        InvalidArgument: see `Rotation`.
    """
    return Rotation(subkey("rotation"), dims)
