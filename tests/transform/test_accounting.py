"""Calibration and composition are exact: against scipy, against each other, and against Opacus' accountants."""

import math

import numpy as np
import pytest
from scipy import stats

from vecguard.transform.accounting import composed, gaussian_delta, gaussian_epsilon, gaussian_mu


@pytest.mark.parametrize("mu", [0.05, 0.5, 1.0, 3.0, 8.0])
@pytest.mark.parametrize("epsilon", [0.0, 0.3, 2.0, 20.0])
def test_delta_is_the_formula_of_balle_and_wang(mu: float, epsilon: float) -> None:
    expected = stats.norm.cdf(mu / 2 - epsilon / mu) - math.exp(epsilon) * stats.norm.cdf(-mu / 2 - epsilon / mu)
    assert gaussian_delta(mu, epsilon) == pytest.approx(expected, rel=1e-7, abs=1e-15)


@pytest.mark.parametrize("mu", [0.5, 1.5])
@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_delta_is_the_hockey_stick_divergence_of_the_two_outputs(mu: float, epsilon: float) -> None:
    """The definition itself, integrated: the probability that the output betrays more than epsilon."""
    at = np.linspace(-15, 15, 400_001)
    excess = stats.norm.pdf(at, mu) - math.exp(epsilon) * stats.norm.pdf(at)
    assert gaussian_delta(mu, epsilon) == pytest.approx(np.trapezoid(np.maximum(excess, 0), at), rel=1e-6)


@pytest.mark.parametrize("epsilon", [0.1, 1.0, 10.0, 1_000.0, 40_000.0])
@pytest.mark.parametrize("delta", [1e-9, 1e-6, 0.05])
def test_calibration_and_accounting_are_each_others_inverse(epsilon: float, delta: float) -> None:
    mu = gaussian_mu(epsilon, delta)
    assert gaussian_epsilon(mu, delta) == pytest.approx(epsilon, rel=1e-9)
    assert gaussian_delta(mu, epsilon) <= delta < gaussian_delta(mu * 1.001, epsilon)


def test_the_calibration_is_tighter_than_the_classical_one() -> None:
    """Dwork & Roth's sigma = sqrt(2 ln(1.25/delta)) / epsilon holds for epsilon <= 1 and wastes noise."""
    classical = math.sqrt(2 * math.log(1.25 / 1e-5)) / 0.5
    assert 0.7 * classical < 1 / gaussian_mu(0.5, 1e-5) < classical


def test_nothing_released_costs_nothing() -> None:
    assert gaussian_epsilon(composed([]), 1e-6) == 0.0
    assert composed([3.0, 4.0]) == 5.0


@pytest.mark.slow
@pytest.mark.parametrize("releases", [1, 7, 40])
def test_opacus_accountants_agree(releases: int) -> None:
    """Its PRV accountant is exact up to its own error; its RDP accountant is an upper bound."""
    accountants = pytest.importorskip("opacus.accountants")
    sigma, delta = 6.0, 1e-5
    ours = gaussian_epsilon(composed([1 / sigma] * releases), delta)
    prv, rdp = accountants.PRVAccountant(), accountants.RDPAccountant()
    for accountant in (prv, rdp):
        accountant.history = [(sigma, 1.0, releases)]
    assert prv.get_epsilon(delta, eps_error=0.001) == pytest.approx(ours, abs=0.005)
    assert ours <= rdp.get_epsilon(delta) <= 1.4 * ours
