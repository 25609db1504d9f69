"""Attacks extract what they claim to where nobody stops them."""

from __future__ import annotations

import numpy as np
import pytest
from small_world import DIMS, RECORDS, attacker, named, offline, small_world

from benchmarks.detection.attacks import ATTACKS
from benchmarks.detection.attacks.attack import Attacker
from benchmarks.detection.attacks.words import anchors
from benchmarks.detection.target import Answer, Refused, Vectors, Want

WORLD = small_world()


def _run(name: str, calls: int) -> Attacker:
    found = attacker(WORLD, offline(WORLD), calls)
    named(name).run(found)
    return found


@pytest.mark.parametrize("name", ["scroll dump", "scroll dump, 1,000 a page", "deep offsets"])
def test_dumps_take_everything(name: str) -> None:
    assert len(_run(name, 100).seen) == RECORDS


def test_enumeration_takes_what_it_guesses() -> None:
    found = _run("id enumeration", 400)
    assert len(found.seen) == pytest.approx(RECORDS * 400 * 20 / (1 << 14), rel=0.2)


@pytest.mark.parametrize(
    "name",
    [
        *("random crawler", "RAGCrawler", "IKEA", "Pirates of the RAG", "DGEA", "k-means sweep"),
        *("farthest-point sweep", "returned-vector walk", "recommend walk"),
    ],
)
def test_crawlers_take_much_of_it(name: str) -> None:
    found = _run(name, 120)
    assert len(found.seen) > 0.2 * RECORDS
    assert found.target.calls <= 120


def test_farthest_points_are_more_different_than_random_ones() -> None:
    assert len(_run("farthest-point sweep", 60).seen) > len(_run("returned-vector walk", 60).seen)


@pytest.mark.parametrize("name", ["trilateration, pinned", "trilateration, not pinned"])
def test_trilateration_recovers_the_vector_from_as_many_scores_as_dimensions(name: str) -> None:
    found = _run(name, 3 * DIMS)
    assert found.progress[-1][1] > 0.99
    first = next(calls for calls, cosine in found.progress if cosine > 0.9)
    assert first < found.target.calls


def test_too_few_scores_do_not_recover_it() -> None:
    assert _run("trilateration, pinned", DIMS // 3 + 2).progress[-1][1] < 0.95


def test_climbing_gets_near() -> None:
    found = _run("hill climbing", 1_000)
    assert found.progress[-1][1] > 0.9
    values = [value for _, value in found.progress]
    assert values == sorted(values)


def test_membership_tells_stored_texts_from_others() -> None:
    assert _run("membership probes", 80).progress[-1][1] == 40


def test_known_plaintext_gets_a_pair_for_every_text_written() -> None:
    found = _run("known plaintext", 60)
    assert found.progress[-1][1] == 4 * (60 // 3)


def test_an_attack_ends_where_it_is_refused() -> None:
    class Guarded:
        calls = 0

        def search(self, query: Vectors, want: Want) -> Answer:
            self.calls += 1
            if self.calls > 3:
                raise Refused("no more")
            return offline(WORLD).search(query, want)

    with pytest.raises(Refused):
        named("random crawler").run(attacker(WORLD, Guarded(), 50))  # type: ignore[arg-type]


def test_names_are_of_different_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) == 18


def test_anchors_are_names_and_terms() -> None:
    found = anchors("The oil embargo of Saudi Arabia raised prices; the embargo ended later.", 4)
    assert {"Saudi Arabia", "embargo"} <= set(found)
    assert "which" not in anchors("which which which", 3)


def test_the_same_seed_gives_the_same_attack() -> None:
    first, again = _run("IKEA", 40), _run("IKEA", 40)
    np.testing.assert_array_equal(sorted(first.seen), sorted(again.seen))
