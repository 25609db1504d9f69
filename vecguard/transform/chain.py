"""The compiled transforms of one vector: what is stored, how it is read back, and what a query becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from vecguard.errors import ConfigError, FailedPrecondition, InvalidArgument
from vecguard.metric import norms
from vecguard.registry import TRANSFORMS
from vecguard.transform import learned, pca
from vecguard.transform.base import (
    BoundedNoise,
    DirectionalNoise,
    Floats,
    Noise,
    Nonces,
    Rounding,
    Step,
    Subkey,
    TransformSpec,
    VectorMap,
)
from vecguard.transform.gaussian import score_deviation
from vecguard.transform.keystream import NONCE_BYTES
from vecguard.transform.rotation import block_size
from vecguard.transform.strength import UNIT_TOLERANCE

# What reads the file that a kind names, and refuses one that does not fit.
_FITTED: Final[Mapping[str, Callable[[Any, int], object]]] = {pca.KIND: pca.load, learned.KIND: learned.load}


class Chain:
    """y = T x + scale · n: mappings in order, then noise, where a thief would have to begin, then rounding."""

    def __init__(
        self,
        mappings: Sequence[VectorMap],
        noise: Noise | DirectionalNoise | None,
        dims: int,
        rounding: Rounding | None = None,
    ) -> None:
        self._mappings = tuple(mappings)
        self._noise = noise
        # What kind of noise it is, asked once: of a protocol `isinstance` looks for every member, at each write.
        self._turns = noise if isinstance(noise, DirectionalNoise) else None
        self._bounded = noise if isinstance(noise, BoundedNoise) else None
        self._added = noise if isinstance(noise, Noise) else None
        self._rounding = rounding
        self.dims_in = dims
        self.dims_out = self._mappings[-1].dims_out if self._mappings else dims

    @property
    def noise_ratio(self) -> float:
        """Norm of the noise over the norm of the record; 0 without noise."""
        return self._noise.ratio if self._noise else 0.0

    @property
    def noise_spread(self) -> float:
        """How much the length of the noise varies (see `vecguard.rerank`); 1 without noise."""
        return self._noise.spread if self._noise else 1.0

    @property
    def unit_only(self) -> bool:
        """Whether it is for unit vectors only; their noise is then scaled by 1 and not by their norm."""
        return self._noise is not None and self._noise.unit_only

    @property
    def clip(self) -> float | None:
        """The norm that records of other distances than cosine are shortened to before `forward`, None for none."""
        return None if self._bounded is None else self._bounded.clip

    @property
    def invertible(self) -> bool:
        """Whether `inverse` gives the vector back."""
        return self._subtractable and all(step.invertible for step in self._mappings)

    @property
    def isometric(self) -> bool:
        """Whether `denoise` and `query` give vectors that score against each other as the clear ones do."""
        return self._subtractable and all(step.isometric for step in self._mappings)

    @property
    def keeps_scores(self) -> bool:
        """Whether noise is all that comes between scores at rest and exact ones."""
        return self._rounding is None and all(step.isometric for step in self._mappings)

    @property
    def exact(self) -> bool:
        """Whether scores at rest are exact."""
        return self.keeps_scores and self.noise_ratio == 0

    @property
    def _subtractable(self) -> bool:
        return self._rounding is None and self._turns is None

    def check_lengths(self, x: Floats) -> None:
        """Refuse vectors (n, dims_in) that the noise is not made for.

        Raises:
            InvalidArgument: it is `unit_only`, and a norm is off 1 by more than `UNIT_TOLERANCE`.
        """
        # NaN is within no tolerance.
        if self.unit_only and not (np.abs(norms(x) - 1.0) <= UNIT_TOLERANCE).all():
            raise InvalidArgument(
                "Wrong input: the noise that the policy gives this vector is made for unit vectors, and this one is "
                "none: normalize it, or give it noise of kind gaussian"
            )

    def clipped(self, x: Floats) -> Floats:
        """Vectors (n, dims_in) float32, those that are longer than `clip` shortened to it."""
        if self.clip is None:
            return x
        lengths = norms(x)
        longer = lengths > self.clip
        if not longer.any():
            return x
        factors = np.where(longer, np.float32(self.clip) / np.where(longer, lengths, np.float32(1.0)), np.float32(1.0))
        return np.asarray(x * factors[:, np.newaxis], np.float32)

    def forward(self, x: Floats, scale: npt.NDArray[np.float32], nonces: Nonces) -> Floats:
        """Protect stored vectors.

        Args:
            x: (n, dims_in) float32; unit norm for cosine, as given otherwise.
            scale: (n,) float32 factor of the noise: the record's norm, 1 for cosine and where `unit_only`, `clip`
                where there is one.
            nonces: (n, 12) uint8.

        Returns:
            (n, dims_out) float32, a new array.

        Raises:
            InvalidArgument: shapes disagree.
        """
        _check_rows(x, self.dims_in, scale, nonces)
        mapped = x if self._mappings else x.copy()
        for step in self._mappings:
            mapped = step.apply(mapped)
        if self._turns is not None:
            mapped = self._turns.turn(mapped, nonces)
        elif self.noise_ratio:
            mapped += self._scaled_noise(scale, nonces)
        return mapped if self._rounding is None else self._rounding.round(mapped)

    def inverse(self, y: Floats, scale: npt.NDArray[np.float32], nonces: Nonces) -> Floats:
        """Undo `forward` for the same scale and nonces, to float32 precision of y.

        Returns:
            (n, dims_in) float32, a new array.

        Raises:
            FailedPrecondition: the chain is not invertible.
            InvalidArgument: shapes disagree.
        """
        if not self.invertible:
            raise FailedPrecondition("the stored form of this vector cannot be turned back")
        clear = self.denoise(y, scale, nonces)
        for step in reversed(self._mappings):
            clear = step.invert(clear)
        return clear

    def denoise(self, y: Floats, scale: npt.NDArray[np.float32], nonces: Nonces) -> Floats:
        """Take off the noise of `forward` for the same scale and nonces, and nothing else.

        Returns:
            (n, dims_out) float32, a new array: the clear vectors, mapped.

        Raises:
            FailedPrecondition: the noise is no sum.
            InvalidArgument: shapes disagree.
        """
        if not self._subtractable:
            raise FailedPrecondition("the noise of this vector cannot be taken off")
        _check_rows(y, self.dims_out, scale, nonces)
        return y - self._scaled_noise(scale, nonces) if self.noise_ratio else np.array(y, np.float32)

    def query(self, q: Floats) -> Floats:
        """Map queries, without noise: (n, dims_in) float32 to (n, dims_out) float32.

        Raises:
            InvalidArgument: another number of dimensions.
        """
        _check_dims(q, self.dims_in)
        mapped = q
        for step in self._mappings:
            mapped = step.query(mapped)
        return mapped

    def score_deviation(
        self, noise_scale: npt.NDArray[np.float32], query_norm: float | npt.NDArray[np.float32]
    ) -> npt.NDArray[np.float64]:
        """Standard deviation that the noise adds to <q, y>, for records of these scales (see `gaussian`)."""
        return score_deviation(self.noise_ratio, self.dims_out, noise_scale, query_norm)

    def describe(self) -> list[str]:
        """What the chain does and claims against which adversary, in plain sentences."""
        steps: list[Step | None] = [*self._mappings, self._noise, self._rounding]
        sentences = [sentence for step in steps if step is not None for sentence in step.describe()]
        return sentences or ["Vectors are stored as they are."]

    def _scaled_noise(self, scale: npt.NDArray[np.float32], nonces: Nonces) -> Floats:
        assert self._added is not None  # noqa: S101  (only called when the ratio is not 0, and nothing is turned)
        noise = self._added.sample(nonces)
        noise *= np.asarray(scale, np.float32)[:, None]
        return noise


def _check_dims(x: Floats, dims: int) -> None:
    if x.ndim != 2 or x.shape[1] != dims:
        raise InvalidArgument(f"the vector must have {dims} dimensions")


def _check_rows(x: Floats, dims: int, scale: npt.NDArray[np.float32], nonces: Nonces) -> None:
    _check_dims(x, dims)
    # Broadcasting one nonce over many records would give them all the same noise.
    if scale.shape != (len(x),) or nonces.shape != (len(x), NONCE_BYTES):
        raise InvalidArgument("every vector needs one scale and one nonce")


class PlannedSpec(TransformSpec, Protocol):
    """What the dimensions at rest can be told by."""

    @property
    def projects(self) -> bool:
        """Whether it maps to fewer dimensions, `dims` of it."""


def stored_dims(specs: Sequence[PlannedSpec], dims: int) -> int:
    """Dimensions at rest of vectors of `dims` dimensions, without compiling; reads the files that a chain names.

    Raises:
        InvalidArgument: a step cannot work on that many dimensions.
        ConfigError: a file cannot be read, or is another one.
    """
    for spec in specs:
        if spec.kind == "rotation":
            block_size(dims)
        elif spec.projects:
            dims = _projected(spec, dims)
    return dims


def _projected(spec: Any, dims: int) -> int:
    if spec.dims > dims:
        raise InvalidArgument(f"the policy projects to {spec.dims} dimensions, and this vector has {dims}")
    if spec.kind in _FITTED:
        _FITTED[spec.kind](spec, dims)
    return int(spec.dims)


def compile_chain(specs: Sequence[TransformSpec], dims: int, subkey: Subkey) -> Chain:
    """Build the steps of `specs` in order for vectors of `dims` dimensions.

    Args:
        specs: objects with `.kind` and the fields of that kind.
        dims: dimensions of the clear vector, at least 1.
        subkey: gives the key for a purpose, of this collection, epoch and vector name.

    Raises:
        ConfigError: an unknown or repeated kind, noise before another step, or a bad field.
        InvalidArgument: a step cannot work on that many dimensions.
    """
    kinds = [spec.kind for spec in specs]
    if len(set(kinds)) != len(kinds):
        raise ConfigError("each kind of transform may be used once per vector")
    mappings: list[VectorMap] = []
    noise: Noise | DirectionalNoise | None = None
    rounding: Rounding | None = None
    for spec in specs:
        step = TRANSFORMS.load(spec.kind)(spec, mappings[-1].dims_out if mappings else dims, subkey)
        if rounding is not None or (noise is not None and not isinstance(step, Rounding)):
            raise ConfigError(f"noise must be the last transform but for rounding; {spec.kind} comes after it")
        if isinstance(step, Rounding):
            rounding = step
        elif isinstance(step, Noise | DirectionalNoise):
            noise = step
        else:
            mappings.append(step)
    return Chain(mappings, noise, dims, rounding)
