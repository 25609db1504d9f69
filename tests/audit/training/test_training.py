"""Training of the generative inverter: its parts by their formulas, resumption, and a whole small run."""

from __future__ import annotations

import math
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vecguard.audit.inverter.architecture import Architecture  # noqa: E402
from vecguard.audit.inverter.beam import beam_search  # noqa: E402
from vecguard.audit.inverter.decoder import Decoder  # noqa: E402
from vecguard.audit.inverter.vocabulary import BEGIN, END, Vocabulary  # noqa: E402
from vecguard.audit.training.batches import TokenisedTexts  # noqa: E402
from vecguard.audit.training.losses import Columns, losses  # noqa: E402
from vecguard.audit.training.muon import orthogonalised  # noqa: E402
from vecguard.audit.training.network import InverterNetwork  # noqa: E402
from vecguard.audit.training.pairs import Pairs  # noqa: E402
from vecguard.audit.training.plan import Plan  # noqa: E402
from vecguard.audit.training.run import CURVE, Point, Run  # noqa: E402

SHAPE = Architecture(dims=32, vocabulary=420, width=48, heads=2, layers=2, feed=96, condition=48, length=16)


def test_batches_hold_every_text_once_and_one_length_each() -> None:
    encoded = [[5] * (1 + place % 9) for place in range(200)]
    texts = TokenisedTexts(encoded, longest=6)
    order = texts.order(24, np.random.default_rng(0))
    assert sorted(np.concatenate(order).tolist()) == list(range(200))
    for rows in order:
        batch = texts.batch(rows)
        assert batch.tokens.shape == (len(rows), int(texts.lengths[rows[0]]) + 1)
        assert (batch.tokens[:, 0] == BEGIN).all()
        assert batch.tokens[:, 1:].size <= 24 or len(rows) == 1
    short, cut = texts.batch(np.array([0])).tokens[0].tolist(), texts.batch(np.array([8])).tokens[0].tolist()
    assert short == [BEGIN, 5, END]
    assert cut == [BEGIN, 5, 5, 5, 5, 5, 5]


def test_drawn_columns_estimate_the_whole_vocabulary() -> None:
    torch.manual_seed(0)
    network = InverterNetwork(SHAPE)
    for part in network.parameters():
        torch.nn.init.normal_(part, std=0.2)
    reading = network.read(torch.nn.functional.normalize(torch.randn(4, 32)))
    tokens = torch.randint(3, 420, (4, 6))
    with torch.no_grad():
        states = network(reading, tokens[:, :-1])
        whole = losses(
            network, reading, states, tokens[:, 1:].contiguous(), Columns(torch.arange(420), torch.ones(420))
        )
        chance = torch.Generator().manual_seed(1)
        drawn = [
            losses(network, reading, states, tokens[:, 1:].contiguous(), Columns.draw(tokens[:, 1:], 420, 60, chance))
            for _ in range(200)
        ]
    assert sum(float(one.words) for one in drawn) / 200 == pytest.approx(float(whole.words), rel=0.01)
    assert sum(float(one.tokens) for one in drawn) / 200 == pytest.approx(float(whole.tokens), rel=0.02)
    everything = Columns.draw(tokens, 420, 420, chance)
    assert everything.numbers.tolist() == list(range(420))
    assert everything.weight.tolist() == [1.0] * 420


def test_an_update_is_nearly_orthogonal() -> None:
    torch.manual_seed(0)
    for size in ((24, 60), (60, 24)):
        values = torch.linalg.svdvals(orthogonalised(torch.randn(size)))
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3


def test_the_pace_rises_then_falls_to_nothing() -> None:
    plan = Plan(steps=100, warm_up=0.1, minutes=50)
    assert plan.progress(10, 1) == pytest.approx(0.1)
    assert plan.progress(10, 25) == pytest.approx(0.5)
    assert plan.progress(1000, 0) == 1
    paces = [plan.pace(at / 100) for at in range(101)]
    assert max(paces) == pytest.approx(1.0) == paces[10]
    assert paces[-1] == pytest.approx(0, abs=1e-9)
    assert all(after < before for before, after in pairwise(paces[10:]))
    assert Plan().minutes == math.inf


def sentences() -> list[str]:
    """840 sentences made of five choices each."""
    who = ["doctor", "nurse", "patient", "pilot", "farmer", "teacher", "baker"]
    does = ["calls", "visits", "helps", "thanks"]
    whom = ["the mother", "the brother", "a neighbour", "two friends", "the judge"]
    when = ["today", "every monday", "after lunch", "in winter", "at night", "before noon"]
    return [f"the {a} {b} {c} {d}" for a, b, c, d in product(who, does, whom, when)]


def pairs_of(texts: list[str], vocabulary: Vocabulary) -> Pairs:
    """Embeddings that say which words are there and roughly where: sums of word directions, turned by their place."""
    chance = np.random.default_rng(0)
    directions = {word: chance.normal(size=32) for word in sorted({word for text in texts for word in text.split()})}
    rows = np.stack(
        [sum(directions[word] * (1 + 0.2 * place) for place, word in enumerate(text.split())) for text in texts]
    )
    unit = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return Pairs(TokenisedTexts(vocabulary.encode(texts), SHAPE.length - 1), unit)


def split_pairs() -> tuple[list[str], Vocabulary, Pairs, Pairs]:
    texts = sentences()
    np.random.default_rng(1).shuffle(texts)
    vocabulary = Vocabulary.train(texts, SHAPE.vocabulary)
    whole = pairs_of(texts, vocabulary)
    encoded = vocabulary.encode(texts)
    train = Pairs(TokenisedTexts(encoded[:740], SHAPE.length - 1), whole.embeddings[:740])
    held = Pairs(TokenisedTexts(encoded[740:], SHAPE.length - 1), whole.embeddings[740:])
    return texts[740:], vocabulary, train, held


def network_of(vocabulary: Vocabulary) -> InverterNetwork:
    torch.manual_seed(3)
    return InverterNetwork(SHAPE.model_copy(update={"vocabulary": len(vocabulary)}))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    _, vocabulary, train, held = split_pairs()
    plan = Plan(steps=30, validate_every=10, batch_tokens=256, drawn_tokens=64)
    points: list[Point] = []
    Run(network_of(vocabulary), train, held, plan, tmp_path / "whole").train(lambda _, point: points.append(point))

    class Stopped(Exception):
        pass

    def stop(_: Plan, point: Point) -> None:
        if point.step == 20:
            raise Stopped

    with pytest.raises(Stopped):
        Run(network_of(vocabulary), train, held, plan, tmp_path / "parts").train(stop)
    resumed = Run(network_of(vocabulary), train, held, plan, tmp_path / "parts")
    assert resumed.place.step == 20
    after: list[Point] = []
    resumed.train(lambda _, point: after.append(point))
    assert [point.step for point in after] == [30]
    assert after[0].valid_tokens == pytest.approx(points[-1].valid_tokens, abs=1e-4)
    assert len((tmp_path / "parts" / CURVE).read_text().splitlines()) == 4


def test_it_stops_when_validation_no_longer_improves(tmp_path: Path) -> None:
    _, vocabulary, train, held = split_pairs()
    plan = Plan(steps=500, validate_every=1, patience=3, batch_tokens=256, table_rate=1e-12, block_rate=1e-12)
    run = Run(network_of(vocabulary), train, held, plan, tmp_path)
    run.train(lambda *_: None)
    assert run.place.step < 100


@pytest.mark.slow
def test_a_small_inverter_recovers_unseen_sentences(tmp_path: Path) -> None:
    """Held-out combinations of known words: most words in most sentences come back, in order."""
    true, vocabulary, train, held = split_pairs()
    network = network_of(vocabulary)
    plan = Plan(steps=150, validate_every=50, batch_tokens=512, drawn_tokens=128, table_rate=4e-3, block_rate=4e-3)
    Run(network, train, held, plan, tmp_path).train(lambda *_: None)
    decoder = Decoder(network.shape, {name: weight.numpy() for name, weight in network.state_dict().items()})
    found = beam_search(decoder, decoder.begin(held.embeddings), 4, SHAPE.length - 1)
    texts = vocabulary.decode([drafts[0].tokens for drafts in found])
    exact = np.mean([text == one for text, one in zip(texts, true, strict=True)])
    assert exact > 0.95
