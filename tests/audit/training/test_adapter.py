"""Training a projection: rankings survive, the game is played as it is written, and DP-SGD spends what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("opacus")
torch.set_num_threads(1)  # such small products wait for threads longer than they work

from opacus.accountants import RDPAccountant  # noqa: E402
from torch.nn.functional import normalize  # noqa: E402
from transform_cases import clustered  # noqa: E402

from vecguard.audit.training.adapter import (  # noqa: E402
    AdapterPlan,
    DpPlan,
    Game,
    Reversed,
    Trained,
    _batches,
    _groups,
    losses,
    train_adapter,
)
from vecguard.errors import InvalidArgument  # noqa: E402
from vecguard.transform.accounting import composed, gaussian_epsilon  # noqa: E402
from vecguard.transform.learned import network  # noqa: E402

PLAN = AdapterPlan(dims=12, steps=150, group=32, batch=2, rate=1e-2)


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    return clustered(900, 48)


def kept(trained: Trained, x: np.ndarray, count: int = 5) -> float:
    """The share of each record's nearest five that are among the nearest five after the projection."""
    y = network(trained.layers, x)
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    near = [np.argsort(-(rows @ rows.T - 2 * np.eye(len(rows))), axis=1)[:, :count] for rows in (x, y)]
    return float(np.mean([len({*a} & {*b}) / count for a, b in zip(*map(np.ndarray.tolist, near), strict=True)]))


def test_rankings_survive_better_than_by_the_random_beginning(sample: np.ndarray) -> None:
    heard: list[int] = []
    own, others = sample[:800], sample[800:]
    trained = train_adapter(own, PLAN, lambda step, ranking, inverting: heard.append(step))
    begun = train_adapter(own, replace(PLAN, steps=1, rate=0.0))
    assert heard == list(range(1, 151))
    assert kept(trained, others) > kept(begun, others) + 0.1
    assert trained.privacy is None
    again = train_adapter(own, PLAN)
    np.testing.assert_array_equal(trained.layers[0][0], again.layers[0][0])


def test_the_projection_climbs_what_the_inverter_descends() -> None:
    x = torch.ones(1, requires_grad=True)
    Reversed.apply(3 * x, 0.5).backward()
    assert x.grad is not None
    assert float(x.grad) == -1.5
    game = Game(48, replace(PLAN, against=2.0))
    rows = normalize(torch.randn(1, 32, 48), dim=-1)
    _, guess = game(rows)
    (1 - torch.cosine_similarity(guess, rows, dim=-1)).mean().backward()
    reversed_gradient = game.layers[0].weight.grad.clone()
    game.zero_grad()
    y = normalize(game.layers[0](rows), dim=-1)
    (1 - torch.cosine_similarity(game.inverter(y), rows, dim=-1)).mean().backward()
    torch.testing.assert_close(reversed_gradient, -2.0 * game.layers[0].weight.grad, rtol=1e-4, atol=1e-7)


def test_the_losses_are_those_of_the_formulas() -> None:
    x, y = (normalize(torch.randn(2, 4, n), dim=-1) for n in (6, 3))
    ranking, inverting = losses(x, y, -x, 0.1)
    by_hand = 0.0
    for i in range(4):
        others = [j for j in range(4) if j != i]
        p, q = (np.exp([float(rows[0, i] @ rows[0, j]) / 0.1 for j in others]) for rows in (x, y))
        p, q = p / p.sum(), q / q.sum()
        by_hand += float((p * np.log(p / q)).sum()) / 4
    assert float(ranking[0]) == pytest.approx(by_hand, rel=1e-4)
    torch.testing.assert_close(inverting, torch.tensor([2.0, 2.0]))


class TestPrivate:
    PLAN = replace(PLAN, group=8, batch=20, steps=40, private=DpPlan(epsilon=6.0, delta=1e-4))

    @pytest.mark.slow
    def test_both_accountants_epsilons_are_kept_and_neither_is_above_what_was_asked_for(
        self, sample: np.ndarray
    ) -> None:
        privacy = train_adapter(sample, self.PLAN).privacy
        assert privacy is not None
        assert 0.95 * 6.0 <= privacy.epsilon_rdp <= 6.0
        assert privacy.epsilon_prv < privacy.epsilon_rdp
        accountant = RDPAccountant()
        for _ in range(40):
            accountant.step(noise_multiplier=privacy.noise_multiplier, sample_rate=20 / 112)
        assert accountant.get_epsilon(1e-4) == pytest.approx(privacy.epsilon_rdp)
        # Sampling can only amplify: without it the releases compose to more.
        assert privacy.epsilon_prv < gaussian_epsilon(composed([1 / privacy.noise_multiplier] * 40), 1e-4)

    def test_one_group_moves_a_step_by_at_most_the_clip_norm(self, sample: np.ndarray) -> None:
        """The sum of clipped gradients of both players together, before noise."""
        from opacus import GradSampleModule

        torch.manual_seed(0)
        game = GradSampleModule(Game(48, self.PLAN), loss_reduction="sum")
        groups = _groups(sample, self.PLAN)[:5]
        y, guess = game(groups)
        ranking, inverting = losses(groups, y, guess, 0.05)
        (ranking + inverting).sum().backward()
        each = torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in game.parameters()]).norm(dim=0)
        assert each.shape == (5,)
        # Each example's gradient is its own: that of a group alone is the same.
        alone = GradSampleModule(Game(48, self.PLAN), loss_reduction="sum")
        alone.load_state_dict(game.state_dict())
        y, guess = alone(groups[2:3])
        ranking, inverting = losses(groups[2:3], y, guess, 0.05)
        (ranking + inverting).sum().backward()
        of_two = torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in alone.parameters()]).norm(dim=0)
        assert float(of_two[0]) == pytest.approx(float(each[2]), rel=1e-4)

    def test_a_vector_is_in_one_group_whatever_it_is(self, sample: np.ndarray) -> None:
        before = _groups(sample, self.PLAN)
        changed = sample.copy()
        changed[17] = -changed[17]
        differs = (before != _groups(changed, self.PLAN)).any(dim=2).any(dim=1)
        assert int(differs.sum()) == 1

    def test_batches_are_poisson_samples(self) -> None:
        sizes = [len(rows) for rows in _batches(100, replace(self.PLAN, steps=2_000))]
        assert np.mean(sizes) == pytest.approx(20, abs=0.5)
        assert np.std(sizes) == pytest.approx(math.sqrt(100 * 0.2 * 0.8), rel=0.1)

    @pytest.mark.slow
    def test_noise_is_in_the_weights(self, sample: np.ndarray) -> None:
        private = train_adapter(sample, self.PLAN)
        assert np.isfinite(private.layers[0][0]).all()
        looser = train_adapter(sample, replace(self.PLAN, private=DpPlan(epsilon=60.0, delta=1e-4)))
        assert private.privacy is not None
        assert looser.privacy is not None
        assert private.privacy.noise_multiplier > 2 * looser.privacy.noise_multiplier


@pytest.mark.parametrize(
    ("plan", "rows", "words"),
    [
        (replace(PLAN, dims=49), 900, "name 1 to 48"),
        (PLAN, 100, "too few"),
    ],
)
def test_what_cannot_be_trained_is_named(sample: np.ndarray, plan: AdapterPlan, rows: int, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        train_adapter(sample[:rows], plan)


def test_a_vector_without_length_is_refused(sample: np.ndarray) -> None:
    spoilt = sample.copy()
    spoilt[3] = 0
    with pytest.raises(InvalidArgument, match="without length"):
        train_adapter(spoilt, PLAN)
