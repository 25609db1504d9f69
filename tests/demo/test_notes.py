"""The synthetic notes: reproducible, varied, consistent with their own fields, disjoint where asked."""

from __future__ import annotations

import re

import pytest

from vecguard.demo.inverters import tokenise
from vecguard.demo.notes import MAX_PATIENTS, make_notes, make_questions
from vecguard.errors import InvalidArgument


def test_the_seed_decides_everything() -> None:
    assert make_notes(50, 4) == make_notes(50, 4)
    assert make_notes(50, 4) != make_notes(50, 5)


def test_the_first_notes_do_not_depend_on_the_count() -> None:
    assert make_notes(200, 4)[:50] == make_notes(50, 4)


def test_ids_count_up_and_texts_are_distinct() -> None:
    notes = make_notes(1000, 0)
    assert [note.id for note in notes] == list(range(1, 1001))
    assert len({note.text for note in notes}) == 1000


def test_every_text_names_its_patient_and_no_slot_is_left_open() -> None:
    for note in make_notes(1000, 1):
        assert note.patient in note.text
        assert "{" not in note.text
        assert re.fullmatch(r"[a-z0-9_.]+@([a-z]+\.)?example\.(com|org|net)", note.email)
        assert re.fullmatch(r"\d{3}-555-01\d\d", note.phone)


def test_every_text_is_about_its_diagnosis_or_medicine() -> None:
    for note in make_notes(1000, 1):
        text = note.text.lower()
        assert note.diagnosis.lower() in text or note.medication.lower() in text


def test_there_is_real_variety() -> None:
    notes = make_notes(3000, 0)
    words = {word for note in notes for word in tokenise(note.text) if word.isalpha()}
    patients = {note.patient for note in notes}
    # With every name and address taken out, what is left is the grammar: it must not be a handful of templates.
    assert len(words - {part.lower() for name in patients for part in name.split()}) > 700
    assert len(patients) > 1000
    assert len({note.diagnosis for note in notes}) > 50


def test_avoided_people_do_not_occur() -> None:
    notes = make_notes(500, 0)
    others = make_notes(500, 1, avoid={note.patient for note in notes})
    assert not {note.patient for note in notes} & {note.patient for note in others}
    assert not {note.text for note in notes} & {note.text for note in others}


@pytest.mark.parametrize("count", [0, -1, MAX_PATIENTS + 1])
def test_impossible_counts_are_refused(count: int) -> None:
    with pytest.raises(InvalidArgument, match="notes can be made here"):
        make_notes(count, 0)


def test_questions_know_every_relevant_note() -> None:
    notes = make_notes(400, 0)
    by_id = {note.id: note for note in notes}
    for number, question in enumerate(make_questions(notes, 40, 2)):
        assert question.relevant
        relevant = [by_id[one] for one in question.relevant]
        if number % 2:
            assert len({note.patient for note in relevant}) == 1
            assert relevant[0].patient in question.text
        else:
            assert {(note.diagnosis, note.medication) for note in relevant} == {
                (relevant[0].diagnosis, relevant[0].medication)
            }
            assert relevant[0].medication in question.text


def test_no_notes_no_questions() -> None:
    with pytest.raises(InvalidArgument):
        make_questions([], 1, 0)
