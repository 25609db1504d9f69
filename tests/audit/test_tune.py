"""The search for a policy: it is refused where nothing can be said, and what it chooses keeps the aim."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from audit.scenes import notes_scene
from vecguard.audit.defence import PolicyDefence, parse_defence
from vecguard.audit.linear import Floats, ridge, unit
from vecguard.audit.scene import Sampled, Scene
from vecguard.audit.target import Target
from vecguard.audit.textual import mean_f1
from vecguard.audit.tune import Aim, Candidate, frontier, frontier_plot, leaked, rule_name, rules_of, tune
from vecguard.errors import ConfigError
from vecguard.policy.model import FixedRerankRule, RerankRule, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec

pytestmark = pytest.mark.slow


class Echo:
    """An inverter that is quick and recovers nothing."""

    name = "echo"

    def invert(self, embeddings: Floats, /) -> list[str]:
        return [""] * len(embeddings)


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


def test_what_no_certificate_covers_is_read_in_fixed_numbers() -> None:
    (rule,) = rules_of(["truncate:dims=48+rotation+gaussian:ratio=1"])
    found = tune(small_scene(), Aim(recall=1.0, max_f1=0.33, pairs=32), lambda *_: None, [rule])
    mine = [one for one in found.tried if one.name.startswith("truncate")]
    assert [one.name.rpartition(" ")[2] for one in mine][:2] == ["candidates=50", "candidates=200"][: len(mine)]
    assert all(isinstance(one.rule.rerank, FixedRerankRule) for one in mine)
    for one in mine:
        VectorRule.model_validate(one.rule.model_dump(mode="json"))


def test_cells_are_attacked_by_one_who_knows_of_them() -> None:
    """One map for all cells recovers little text; a map a cell is as good as without cells."""
    scene = small_scene()
    (celled,) = rules_of(["cells:count=2+rotation"])
    target = Target(scene, PolicyDefence("cells", celled).deploy(scene.dims, scene.seed))
    stored, clear = target.pairs(300)
    (words,) = [one for one in scene.inverters if one.name == "bag-of-words"]
    naive = mean_f1(words.invert(unit(ridge(stored, clear).apply(target.victims))), scene.victims.texts)
    assert leaked(target, 300) > naive + 0.1


def test_clear_storage_is_no_mechanism() -> None:
    with pytest.raises(ConfigError, match="nothing to tune"):
        rules_of(["rotation", "clear"])


def test_slow_inverters_read_clear_vectors_and_what_pairs_brought_back() -> None:
    """A rotated vector is not shown to them as it is stored."""
    seen: list[int] = []

    class Slow:
        name = "slow"

        def invert(self, embeddings: Floats, /) -> list[str]:
            seen.append(len(embeddings))
            return [""] * len(embeddings)

    for line, calls in (("clear", 2), ("rotation+gaussian:ratio=1", 1)):
        scene = replace(small_scene(), train=lambda texts, rows: [Echo(), Sampled(Slow(), 10)])
        target = Target(scene, parse_defence(line).deploy(scene.dims, scene.seed))
        seen.clear()
        leaked(target, 32)
        assert len(seen) == calls, line
