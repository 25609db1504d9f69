"""Differential privacy of Gaussian releases, exactly: calibration of one, composition of several. Pure `math`.

The trade-off of a Gaussian mechanism with L2 sensitivity D and deviation s is that of telling N(0, 1) from N(mu, 1)
with mu = D / s: it is mu-GDP (Dong, Roth & Su, "Gaussian Differential Privacy", JRSS B 84, 2022). Releases of the same
record compose to mu = sqrt(mu_1^2 + ... + mu_k^2), without loss, and mu-GDP is (epsilon, delta)-DP exactly for

    delta(epsilon) = Phi(mu/2 - epsilon/mu) - e^epsilon Phi(-mu/2 - epsilon/mu)

(Balle & Wang, "Improving the Gaussian Mechanism for Differential Privacy", ICML 2018, theorem 8).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

_BISECTIONS: Final = 200
# Below this, `erfc` has lost nothing; beyond, the asymptotic series is exact to double precision.
_SERIES_FROM: Final = 20.0


def gaussian_delta(mu: float, epsilon: float) -> float:
    """The smallest delta for which mu-GDP, mu > 0, is (epsilon, delta)-DP."""
    a, b = epsilon / mu - mu / 2, epsilon / mu + mu / 2
    # Both terms as powers of e: the second factor alone overflows from epsilon = 710 on.
    first, second = _log_tail(a), epsilon + _log_tail(b)
    return math.exp(first) * -math.expm1(min(second - first, 0.0)) if first > -745.0 else 0.0


def gaussian_epsilon(mu: float, delta: float) -> float:
    """The smallest epsilon >= 0 for which mu-GDP is (epsilon, delta)-DP, 0 < delta < 1. mu = 0 gives 0."""
    if mu == 0 or gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    high = 1.0
    while gaussian_delta(mu, high) > delta:
        high *= 2
    return _smallest(lambda epsilon: gaussian_delta(mu, epsilon) <= delta, 0.0, high)


def gaussian_mu(epsilon: float, delta: float) -> float:
    """The largest mu for which mu-GDP is (epsilon, delta)-DP: what the analytic Gaussian mechanism calibrates to."""
    high = 1.0
    while gaussian_delta(high, epsilon) <= delta:
        high *= 2
    return _smallest(lambda mu: gaussian_delta(mu, epsilon) > delta, 0.0, high, below=True)


def composed(mus: Iterable[float]) -> float:
    """mu of several Gaussian releases of one record together."""
    return math.sqrt(sum(mu * mu for mu in mus))


def _smallest(holds: Callable[[float], bool], low: float, high: float, *, below: bool = False) -> float:
    """Where a condition that fails at `low` begins to hold: the number just above, or with `below` just under it."""
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if holds(middle) else (middle, high)
    return low if below else high


def _log_tail(x: float) -> float:
    """log Phi(-x), without underflow (Abramowitz & Stegun 26.2.12 for large x)."""
    if x < _SERIES_FROM:
        return math.log(math.erfc(x / math.sqrt(2)) / 2)
    square = 1 / (x * x)
    series = 1 - square * (1 - 3 * square * (1 - 5 * square * (1 - 7 * square)))
    return -x * x / 2 - math.log(x * math.sqrt(2 * math.pi)) + math.log(series)
