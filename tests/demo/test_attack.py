"""The inverters recover what embeddings give away, and nothing once a secret rotation lies over them.

Embeddings here are linear in the words of a note (a random vector a word, summed): the attack must work on them.
"""

from __future__ import annotations

import numpy as np
import pytest

from vecguard.demo.attack import Attacker, Leakage, floor, token_f1, with_leaked_pairs
from vecguard.demo.inverters import Floats, NearestNote, Ridge, WordInverter, set_f1, tokenise, word_matrix
from vecguard.demo.notes import Note, make_notes
from vecguard.errors import InvalidArgument

DIMS = 128


def embed_words(notes: list[Note]) -> Floats:
    """Unit vectors (n, DIMS), each the sum of one fixed random vector per word."""
    of_word: dict[str, Floats] = {}
    rng = np.random.default_rng(5)
    for word in sorted({word for note in make_notes(1500, 0) + make_notes(1500, 9) for word in tokenise(note.text)}):
        of_word[word] = rng.standard_normal(DIMS).astype(np.float32)
    rows = np.stack([np.sum([of_word[word] for word in tokenise(note.text)], axis=0) for note in notes])
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def rotation(seed: int) -> Floats:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((DIMS, DIMS)))[0].astype(np.float32)


@pytest.fixture(scope="module")
def victims() -> list[Note]:
    return make_notes(400, 0)


@pytest.fixture(scope="module")
def clear(victims: list[Note]) -> Floats:
    return embed_words(victims)


@pytest.fixture(scope="module")
def attacker() -> Attacker:
    own = make_notes(1500, 9)
    return Attacker.train(own, embed_words(own))


@pytest.fixture(scope="module")
def bottom(attacker: Attacker, victims: list[Note]) -> Leakage:
    return floor(attacker, victims, DIMS, seed=3)


def test_clear_embeddings_give_the_words_and_the_diagnosis_away(
    attacker: Attacker, victims: list[Note], clear: Floats, bottom: Leakage
) -> None:
    found = attacker.attack(clear, victims)
    assert found.words_f1 > 0.5
    assert found.guessed_diagnosis > 0.5
    assert found.nearest_token_f1 > bottom.nearest_token_f1 + 0.3


def test_a_secret_rotation_takes_the_attack_to_the_floor(
    attacker: Attacker, victims: list[Note], clear: Floats, bottom: Leakage
) -> None:
    found = attacker.attack(clear @ rotation(1), victims)
    assert found.words_f1 < bottom.words_f1 + 0.05
    assert found.guessed_diagnosis < bottom.guessed_diagnosis + 0.05
    assert found.nearest_token_f1 < bottom.nearest_token_f1 + 0.05


def test_scaling_the_stolen_vectors_changes_nothing(attacker: Attacker, victims: list[Note], clear: Floats) -> None:
    assert attacker.attack(clear * np.float32(7.5), victims) == attacker.attack(clear, victims)


def test_the_nearest_note_finds_itself(attacker: Attacker) -> None:
    stolen = attacker.nearest.embeddings[[3, 1, 4]]
    assert attacker.nearest.invert(stolen).tolist() == [3, 1, 4]
    assert attacker.attack(stolen, [attacker.own[row] for row in (3, 1, 4)]).nearest_token_f1 == 1.0


def test_enough_leaked_pairs_undo_a_pure_rotation(attacker: Attacker, victims: list[Note], clear: Floats) -> None:
    stolen = clear @ rotation(1)
    few = attacker.attack(with_leaked_pairs(stolen, clear[:5], penalty=1e-4), victims[5:])
    many = attacker.attack(with_leaked_pairs(stolen, clear[:DIMS], penalty=1e-4), victims[DIMS:])
    assert many.guessed_diagnosis > few.guessed_diagnosis + 0.3


def test_leaked_pairs_must_leave_something_to_attack(clear: Floats) -> None:
    with pytest.raises(InvalidArgument):
        with_leaked_pairs(clear, clear)
    with pytest.raises(InvalidArgument):
        with_leaked_pairs(clear, clear[:0])


def test_vectors_and_notes_must_match(attacker: Attacker, victims: list[Note], clear: Floats) -> None:
    with pytest.raises(InvalidArgument):
        attacker.attack(clear[:3], victims[:2])
    with pytest.raises(InvalidArgument):
        attacker.attack(clear[:0], [])


def test_too_few_notes_train_no_attack() -> None:
    with pytest.raises(InvalidArgument, match="20 notes"):
        WordInverter.fit(["a word"] * 10, np.eye(10, dtype=np.float32))


def test_token_f1_counts_repeated_tokens() -> None:
    assert token_f1("a b c", "c b a") == 1.0
    assert token_f1("a a b", "a b b") == pytest.approx(2 / 3)
    assert token_f1("a", "b") == 0.0
    assert token_f1("", "") == 0.0


def test_set_f1_counts_words_outside_the_vocabulary_as_missed() -> None:
    predicted, present = np.array([[True, True, False]]), np.array([[True, False, True]])
    assert set_f1(predicted, present, np.array([2]))[0] == pytest.approx(0.5)
    assert set_f1(predicted, present, np.array([4]))[0] == pytest.approx(2 / 6)


def test_rare_words_stay_out_of_the_vocabulary() -> None:
    words, present = word_matrix([{"often", "rare"}] + [{"often"}] * 4)
    assert words == ("often",)
    assert present.tolist() == [[1.0]] * 5


def test_ridge_solves_a_linear_map() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((200, 8)).astype(np.float32)
    mapping = rng.standard_normal((8, 3)).astype(np.float32)
    fitted = Ridge.fit(inputs, inputs @ mapping, 1e-6)
    np.testing.assert_allclose(fitted.weights, mapping, atol=1e-3)


def test_nearest_is_by_direction() -> None:
    own = NearestNote(np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32))
    assert own.invert(np.array([[0.2, 0.9]], dtype=np.float32)).tolist() == [1]
