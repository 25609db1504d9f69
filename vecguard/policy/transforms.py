"""The kinds of vector transforms as they stand in a policy, one class a kind.

Each says of itself what `policy.chain` judges a chain by, and how long its noise is; what it does to a vector is a
module of `vecguard.transform`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field, ValidationInfo, field_validator

from vecguard.policy.entry import PolicyEntry
from vecguard.transform import strength

_EPSILON_TEXT = "Smaller is more private, and noisier."


class _Spec(PolicyEntry):
    """What `policy.chain` judges a kind by; see `TransformTraits`."""

    hides_axes: ClassVar[bool] = False
    adds_noise: ClassVar[bool] = False
    invertible: ClassVar[bool] = True
    projects: ClassVar[bool] = False
    rounds: ClassVar[bool] = False
    unit_only: ClassVar[bool] = False
    divides: ClassVar[bool] = False

    @property
    def clips(self) -> bool:
        """Whether vectors are shortened to a norm, which may lose something."""
        return False


class RotationSpec(_Spec):
    """A secret orthogonal transform: keeps all distances, hides every coordinate."""

    hides_axes: ClassVar[bool] = True

    kind: Literal["rotation"] = "rotation"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return "rotated by a secret key"


class CellsSpec(_Spec):
    """Records dealt by key to cells with keys of their own, so that pairs leaked from one say nothing of another; the
    first of all. A search is one query a cell, each re-ranked. Needs `recover: derived` or `sealed`, and `rerank`."""

    divides: ClassVar[bool] = True

    kind: Literal["cells"] = "cells"
    count: int = Field(
        ge=2,
        le=64,
        description="How many. Leaked pairs are worth as many times less, a search costs as many times more calls, and "
        "a worker holds as many matrices (0.6 MB each at 384 dimensions).",
    )

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"dealt to {self.count} secret cells"


class _NoiseSpec(_Spec):
    adds_noise: ClassVar[bool] = True


class _UnitNoiseSpec(_NoiseSpec):
    unit_only: ClassVar[bool] = True


class GaussianSpec(_NoiseSpec):
    """Keyed Gaussian noise, the same for the same record and content; only the key holder can subtract it again."""

    kind: Literal["gaussian"] = "gaussian"
    ratio: float = Field(
        default=1.0,
        gt=0,
        le=8,
        description="Strength: expected length of the noise divided by the length of the vector. "
        "1.0 keeps recall@10 at .998 with re-ranking on; 2.0 resists more leaked pairs and reads more candidates.",
    )

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector."""
        return self.ratio

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"plus keyed Gaussian noise of ratio {self.ratio:g}"


class AnalyticGaussianSpec(_UnitNoiseSpec):
    """Keyed Gaussian noise that makes one stored vector (ε, δ)-differentially private, by the exact calibration of
    Balle & Wang (2018). Without `clip`, vectors that are not of unit length are refused."""

    kind: Literal["analytic-gaussian"] = "analytic-gaussian"
    epsilon: float = Field(
        gt=0,
        le=1_000_000,
        description=f"ε of one stored vector. {_EPSILON_TEXT} At 384 dimensions 955 is noise of ratio 1.",
    )
    delta: float = Field(default=1e-6, ge=1e-9, le=0.1, description="δ of one stored vector.")
    clip: float | None = Field(
        default=None,
        ge=1e-6,
        le=1e6,
        description="Norm that longer vectors are shortened to, and that the noise is calibrated for. `recover: "
        "derived` gives the shortened vector back, and scores are its; `sealed` keeps the exact one, and needs "
        "`rerank: {candidates: N}` or `off`. Cosine vectors are of unit length, whatever is said here.",
    )

    @property
    def clips(self) -> bool:
        """Whether vectors are shortened to a norm."""
        return self.clip is not None

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector."""
        return strength.analytic_gaussian_ratio(self.epsilon, self.delta, dims)

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        shortened = "" if self.clip is None else f"shortened to norm {self.clip:g}, "
        return f"{shortened}plus keyed Gaussian noise for ({self.epsilon:g}, {self.delta:g})-differential privacy"


class LaplaceSpec(_UnitNoiseSpec):
    """Keyed Laplace noise with density ∝ exp(-ε‖n‖): unit vectors at distance t can be told apart with a privacy loss
    of at most ε·t (metric privacy). Vectors of another length are refused."""

    kind: Literal["laplace"] = "laplace"
    epsilon: float = Field(
        gt=0,
        le=1_000_000,
        description=f"ε per unit of Euclidean distance. {_EPSILON_TEXT} The ratio of the noise is about d / ε.",
    )

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector."""
        return strength.laplace_ratio(self.epsilon, dims)

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"plus keyed Laplace noise of ε = {self.epsilon:g} per unit of distance"


class ScaleAndPerturbSpec(_UnitNoiseSpec):
    """Keyed noise, uniform in the ball of a quarter of the approximation factor: the scheme DCPE / SAP at the strength
    that IronCore's SDK has at the same factor. Vectors that are not of unit length are refused."""

    kind: Literal["scale-and-perturb"] = "scale-and-perturb"
    approximation_factor: float = Field(
        default=4.0, gt=0, le=32, description="Four times the longest noise: the default is noise of ratio 1."
    )

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector."""
        return strength.ball_ratio(self.approximation_factor, dims)

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"plus keyed noise from a ball, approximation factor {self.approximation_factor:g}"


class _DirectionalSpec(_UnitNoiseSpec):
    # By key and nonce one knows how far, and towards what, but not from where.
    invertible: ClassVar[bool] = False


class PurkayasthaSpec(_DirectionalSpec):
    """Unit vectors are turned by a keyed angle with density ∝ exp(-ε·angle): directions t radians apart can be told
    apart with a privacy loss of at most ε·t. Needs `recover: sealed` or `none`; other lengths are refused."""

    kind: Literal["purkayastha"] = "purkayastha"
    epsilon: float = Field(
        gt=0, le=1_000_000, description=f"ε per radian. {_EPSILON_TEXT} The ratio of the noise is about d / ε."
    )

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector that does as much."""
        return strength.purkayastha_ratio(self.epsilon, dims)

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"turned by a keyed angle (Purkayastha, ε = {self.epsilon:g} per radian)"


class VonMisesFisherSpec(_DirectionalSpec):
    """Unit vectors are replaced by a keyed draw with density ∝ exp(ε x·y): vectors at distance t can be told apart with
    a privacy loss of at most ε·t. Needs `recover: sealed` or `none`; other lengths are refused."""

    kind: Literal["von-mises-fisher"] = "von-mises-fisher"
    epsilon: float = Field(
        gt=0,
        le=1_000_000,
        description=f"Concentration, which is ε per unit of distance. {_EPSILON_TEXT}",
    )

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector that does as much."""
        return strength.von_mises_fisher_ratio(self.epsilon, dims)

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"turned by a keyed angle (von Mises-Fisher, ε = {self.epsilon:g})"


class _ProjectionSpec(_Spec):
    invertible: ClassVar[bool] = False
    projects: ClassVar[bool] = True

    dims: int = Field(ge=1, le=65_536, description="Dimensions at rest; clients go on seeing their own.")


class _FittedSpec(_ProjectionSpec):
    file: str = Field(
        default="",
        exclude=True,
        description="The fitted artefact, relative to this file. It can be moved; what it holds cannot be exchanged.",
    )
    sha256: str = Field(
        pattern="^[0-9a-f]{64}$", description="Of the artefact, as fitting prints it; the manifest keeps it."
    )

    @field_validator("file")
    @classmethod
    def _beside_the_policy(cls, file: str, info: ValidationInfo) -> str:
        folder = (info.context or {}).get("folder")
        return str(Path(folder, file)) if folder and file else file

    def __eq__(self, other: object) -> bool:
        """Whether it is the same projection, wherever its file lies."""
        return type(other) is type(self) and (self.dims, self.sha256) == (other.dims, other.sha256)

    def __hash__(self) -> int:
        return hash((self.dims, self.sha256))


class PcaSpec(_FittedSpec):
    """Projection to the first principal components of a sample, which `vecguard policy fit-pca` fits. Put a rotation
    after it. Needs `recover: sealed` or `none`, and `rerank: {candidates: N}` or `off`."""

    kind: Literal["pca"] = "pca"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"projected to {self.dims} principal components of a sample"


class LearnedSpec(_FittedSpec):
    """Projection by a small network, which `vecguard policy fit-learned` trains on a sample to keep rankings and to
    hinder an inverter, with differential privacy of the sample if asked for. Put a rotation after it. Needs what `pca`
    needs."""

    kind: Literal["learned"] = "learned"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"projected to {self.dims} dimensions by a trained network"


class TruncateSpec(_ProjectionSpec):
    """The first dimensions alone, at the vector's length: before a rotation for models trained to be truncated
    (Matryoshka), after it a random subspace. Needs what `pca` needs."""

    kind: Literal["truncate"] = "truncate"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"truncated to {self.dims} dimensions"


class JohnsonLindenstraussSpec(_ProjectionSpec):
    """A secret random projection, in place of a rotation. Needs what `pca` needs."""

    hides_axes: ClassVar[bool] = True

    kind: Literal["johnson-lindenstrauss"] = "johnson-lindenstrauss"
    form: Literal["gaussian", "sparse"] = Field(
        default="gaussian", description="Entries of the matrix: normal, or -1, 0 and 1 (Achlioptas)."
    )

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"projected to {self.dims} dimensions by a secret {self.form} random matrix"


class _RoundingSpec(_Spec):
    invertible: ClassVar[bool] = False
    rounds: ClassVar[bool] = True


class Int8Spec(_RoundingSpec):
    """Stored coordinates rounded to 255 values; the last of all. Needs what `pca` needs."""

    kind: Literal["int8"] = "int8"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return "rounded to 255 values a coordinate"


class BinarySpec(_RoundingSpec):
    """Of stored coordinates the sign alone; the last of all. Needs what `pca` needs."""

    kind: Literal["binary"] = "binary"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return "of each coordinate the sign alone"


NoiseSpec: TypeAlias = (
    GaussianSpec | AnalyticGaussianSpec | LaplaceSpec | ScaleAndPerturbSpec | PurkayasthaSpec | VonMisesFisherSpec
)

FittedSpec: TypeAlias = PcaSpec | LearnedSpec
ProjectionSpec: TypeAlias = PcaSpec | LearnedSpec | TruncateSpec | JohnsonLindenstraussSpec
RoundingSpec: TypeAlias = Int8Spec | BinarySpec

# A new kind of transform is one class above and one name here.
TransformSpec = Annotated[
    RotationSpec | NoiseSpec | CellsSpec | ProjectionSpec | RoundingSpec, Field(discriminator="kind")
]
