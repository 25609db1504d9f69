"""The kinds of vector transforms as they stand in a policy, one class a kind.

Each says of itself what `policy.chain` judges a chain by, and how long its noise is; what it does to a vector is a
module of `vecguard.transform`.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import Field

from vecguard.policy.entry import PolicyEntry
from vecguard.transform import strength

_EPSILON_TEXT = "Smaller is more private, and noisier."


class RotationSpec(PolicyEntry):
    """A secret orthogonal transform: keeps all distances, hides every coordinate."""

    hides_axes: ClassVar[bool] = True
    adds_noise: ClassVar[bool] = False
    invertible: ClassVar[bool] = True

    kind: Literal["rotation"] = "rotation"

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return "rotated by a secret key"


class _NoiseSpec(PolicyEntry):
    hides_axes: ClassVar[bool] = False
    adds_noise: ClassVar[bool] = True
    invertible: ClassVar[bool] = True


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


class AnalyticGaussianSpec(_NoiseSpec):
    """Keyed Gaussian noise that makes one stored unit vector (ε, δ)-differentially private, by the exact calibration of
    Balle & Wang (2018). Vectors of another length are refused."""

    kind: Literal["analytic-gaussian"] = "analytic-gaussian"
    epsilon: float = Field(
        gt=0,
        le=1_000_000,
        description=f"ε of one stored vector. {_EPSILON_TEXT} At 384 dimensions 955 is noise of ratio 1.",
    )
    delta: float = Field(default=1e-6, ge=1e-9, le=0.1, description="δ of one stored vector.")

    def ratio_at(self, dims: int) -> float:
        """Length of the noise of a unit vector."""
        return strength.analytic_gaussian_ratio(self.epsilon, self.delta, dims)

    @property
    def phrase(self) -> str:
        """What is stored, in a few words."""
        return f"plus keyed Gaussian noise for ({self.epsilon:g}, {self.delta:g})-differential privacy"


class LaplaceSpec(_NoiseSpec):
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


class ScaleAndPerturbSpec(_NoiseSpec):
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


class _DirectionalSpec(_NoiseSpec):
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


NoiseSpec: TypeAlias = (
    GaussianSpec | AnalyticGaussianSpec | LaplaceSpec | ScaleAndPerturbSpec | PurkayasthaSpec | VonMisesFisherSpec
)

# A new kind of transform is one class above and one name here.
TransformSpec = Annotated[RotationSpec | NoiseSpec, Field(discriminator="kind")]
