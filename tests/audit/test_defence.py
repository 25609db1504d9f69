"""Defences from a line of text, their keys, and the search behind them."""

from __future__ import annotations

import numpy as np
import pytest

from audit.scenes import notes_scene
from vecguard.audit.defence import ClearStorage, PolicyDefence, nearest, parse_defence
from vecguard.audit.metrics import recall_at
from vecguard.audit.utility import measure_utility
from vecguard.errors import ConfigError


def test_a_line_is_a_rule_of_a_policy() -> None:
    defence = parse_defence("rotation+gaussian:ratio=2")
    assert isinstance(defence, PolicyDefence)
    assert defence.deploy(96, 0).noise_ratio == pytest.approx(2.0)
    assert isinstance(parse_defence("clear"), ClearStorage)


@pytest.mark.parametrize("line", ["", "rotate", "gaussian:ratio=1", "rotation+gaussian:ratio=-1", "rotation:x"])
def test_what_no_policy_may_say_is_no_defence(line: str) -> None:
    with pytest.raises(ConfigError):
        parse_defence(line)


def test_the_key_depends_on_seed_and_name_only() -> None:
    rows = notes_scene().victims.embeddings
    stored = [parse_defence("rotation").deploy(96, seed).store(rows).vectors for seed in (1, 1, 2)]
    np.testing.assert_array_equal(stored[0], stored[1])
    assert np.abs(stored[0] - stored[2]).max() > 0.05


def test_clear_storage_is_the_embedding() -> None:
    rows = notes_scene().victims.embeddings
    np.testing.assert_allclose(ClearStorage().deploy(96, 0).store(rows).vectors, rows, atol=1e-6)


@pytest.mark.parametrize(("line", "least"), [("clear", 1.0), ("rotation", 0.999), ("rotation+gaussian:ratio=1", 0.99)])
def test_search_behind_a_defence_finds_what_exact_search_does(line: str, least: float) -> None:
    scene = notes_scene()
    utility = measure_utility(scene, parse_defence(line).deploy(scene.dims, 0))
    assert utility.recall.value >= least
    assert utility.candidates >= 10


def test_without_re_ranking_noise_costs_recall() -> None:
    scene = notes_scene()
    utility = measure_utility(scene, parse_defence("rotation+gaussian:ratio=1").deploy(scene.dims, 0))
    assert utility.recall_unranked.value < 0.9
    assert utility.bits == pytest.approx(48)  # 96 / 2 * log2(1 + 1)


def test_the_answer_is_ordered_by_exact_score() -> None:
    scene = notes_scene()
    deployment = parse_defence("rotation+gaussian:ratio=0.5").deploy(scene.dims, 0)
    documents, questions = scene.retrieval.documents, scene.retrieval.questions
    found, _ = deployment.search(deployment.store(documents), questions, 10)
    assert recall_at(found, nearest(documents, questions, 10)).mean() > 0.99
    for row, ids in enumerate(found):
        scores = documents[ids] @ questions[row]
        assert (np.diff(scores) <= 1e-5).all()
