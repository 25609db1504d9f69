"""The search for a policy: it is refused where nothing can be said, and what it chooses keeps the aim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit.scenes import notes_scene
from vecguard.audit.scene import Scene
from vecguard.audit.tune import Aim, Candidate, frontier, frontier_plot, rule_name, tune
from vecguard.errors import ConfigError
from vecguard.policy.model import RerankRule, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec


def small_scene() -> Scene:
    scene = notes_scene()
    documents = scene.retrieval.documents[:200]
    questions = scene.retrieval.questions[:10]
    nothing = (frozenset[int](),) * len(questions)
    return replace(
        scene, retrieval=replace(scene.retrieval, documents=documents, questions=questions, relevant=nothing)
    )


def test_the_chosen_rule_keeps_the_aim_and_is_the_cheapest_that_does() -> None:
    aim = Aim(recall=0.98, max_f1=0.33, pairs=32)
    found = tune(small_scene(), aim, lambda *_: None)
    assert found.chosen is not None
    assert found.chosen.meets(aim)
    assert found.chosen.rule.noise is not None
    cheaper = [one for one in found.tried if one.candidates < found.chosen.candidates]
    assert not any(one.meets(aim) for one in cheaper)
    assert "<svg" in frontier_plot(found, aim)


def test_an_aim_below_unrelated_text_is_refused() -> None:
    with pytest.raises(ConfigError, match="unrelated text"):
        tune(small_scene(), Aim(0.9, 0.01, 10), lambda *_: None)


def test_attacks_that_fail_on_clear_storage_prove_nothing() -> None:
    scene = small_scene()
    random = np.random.default_rng(0).standard_normal(scene.victims.embeddings.shape).astype(np.float32)
    blind = replace(scene, victims=replace(scene.victims, embeddings=random))
    with pytest.raises(ConfigError, match="clear storage"):
        tune(blind, Aim(0.9, 0.4, 10), lambda *_: None)


def test_the_frontier_leaves_out_what_another_beats() -> None:
    rule = VectorRule()
    good, worse, other = (
        Candidate("good", rule, 0.2, 0.99, 100),
        Candidate("worse", rule, 0.3, 0.98, 120),
        Candidate("other", rule, 0.1, 0.97, 300),
    )
    assert frontier([worse, good, other]) == [good, other]


def test_a_rule_is_named_by_what_it_says() -> None:
    rule = VectorRule(
        transforms=(RotationSpec(), GaussianSpec(ratio=2.0)), rerank=RerankRule(certainty=3.0, max_candidates=4000)
    )
    assert rule_name(rule) == "rotation+gaussian:ratio=2 z=3 cap=4000"
