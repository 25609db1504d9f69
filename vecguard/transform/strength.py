"""How long each mechanism's noise is, relative to a unit vector. Pure `math`, so that a policy can be explained by it.

Every figure is a *ratio*: sqrt(E|n|^2) for the noise n = y - x of an unbiased y; DESIGN §5 measures recall and leakage
by it, and at equal ratio the families do about the same.
"""

from __future__ import annotations

import math
from typing import Final

from vecguard.transform.accounting import gaussian_mu

# How far from 1 the length of a "unit" vector may be: what half-precision clients make of one.
UNIT_TOLERANCE: Final = 1e-3
# Two vectors of length at most 1 + UNIT_TOLERANCE are at most this far apart.
SENSITIVITY: Final = 2 * (1 + UNIT_TOLERANCE)


def analytic_gaussian_sigma(epsilon: float, delta: float) -> float:
    """Deviation of each coordinate for (epsilon, delta) over unit vectors (Balle & Wang 2018)."""
    return SENSITIVITY / gaussian_mu(epsilon, delta)


def analytic_gaussian_ratio(epsilon: float, delta: float, dims: int) -> float:
    """sigma sqrt(d)."""
    return analytic_gaussian_sigma(epsilon, delta) * math.sqrt(dims)


def laplace_ratio(epsilon: float, dims: int) -> float:
    """Of a length that is Gamma(d, 1/epsilon): E|n|^2 = d (d + 1) / epsilon^2."""
    return math.sqrt(dims * (dims + 1)) / epsilon


def ball_ratio(approximation_factor: float, dims: int) -> float:
    """Of a uniform draw from the ball of radius b/4: E|n|^2 = (b/4)^2 d / (d + 2)."""
    return approximation_factor / 4 * math.sqrt(dims / (dims + 2))


def resultant_ratio(resultant: float) -> float:
    """Of a direction whose mean has length A, divided by A to be unbiased: E|y|^2 = 1/A^2 = 1 + ratio^2."""
    return math.sqrt(max(1 / resultant**2 - 1, 0.0))


def purkayastha_ratio(epsilon: float, dims: int) -> float:
    """To first order: the angle's mode has tangent (d - 2) / epsilon, and the angle hardly spreads."""
    return (dims - 2) / epsilon


def von_mises_fisher_ratio(epsilon: float, dims: int) -> float:
    """To first order: A = epsilon / (m + sqrt(m^2 + epsilon^2)), m = (d - 1) / 2 (Amos, Math. Comp. 28, 1974)."""
    middle = (dims - 1) / 2
    return resultant_ratio(epsilon / (middle + math.hypot(middle, epsilon)))
