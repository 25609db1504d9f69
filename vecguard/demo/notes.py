"""Seeded synthetic clinic notes of the kind a private RAG application would store, and questions about them.

A small grammar: each patient has one profile (department, diagnosis, medicine, contact), each note one of several
kinds (visit, telephone call, referral, insurance letter, ...), each kind its own sentences. No real person occurs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass

from vecguard.demo import sentences
from vecguard.demo.vocabulary import DEPARTMENTS, MAIL_DOMAINS, MEN, SURNAMES, WOMEN, Department
from vecguard.errors import InvalidArgument

# Below the number of names, so that drawing one that is still free never takes long.
MAX_PATIENTS = (len(WOMEN) + len(MEN)) * len(SURNAMES) * 5 // 6


@dataclass(frozen=True)
class Patient:
    """One invented person; `pronouns` are (subject, object, possessive)."""

    name: str
    pronouns: tuple[str, str, str]
    age: int
    email: str
    phone: str
    department: Department
    diagnosis: str
    medication: str


@dataclass(frozen=True)
class Note:
    """One stored text and the structured fields that the application keeps beside it."""

    id: int
    text: str
    patient: str
    email: str
    phone: str
    diagnosis: str
    medication: str
    department: str

    def payload(self) -> dict[str, str]:
        """The payload as an application would store it: every field but the id."""
        return {
            "text": self.text,
            "patient": self.patient,
            "email": self.email,
            "phone": self.phone,
            "diagnosis": self.diagnosis,
            "medication": self.medication,
            "department": self.department,
        }


@dataclass(frozen=True)
class Question:
    """A question and the ids of every note that is about what it asks."""

    text: str
    relevant: frozenset[int]


def make_notes(count: int, seed: int, avoid: Collection[str] = ()) -> list[Note]:
    """`count` notes, all texts distinct, ids 1 to `count`, one to three notes a patient.

    Args:
        count: how many, 1 or more.
        seed: the same seed gives the same notes on every platform (`random.Random` with integer seeds).
        avoid: names of patients that must not occur, so that two corpora share no person.

    Raises:
        InvalidArgument: `count` is below 1, or there may not be names enough for it.
    """
    if count < 1 or count + len(avoid) > MAX_PATIENTS:
        raise InvalidArgument(f"1 to {MAX_PATIENTS - len(avoid)} notes can be made here, not {count}")
    rng = random.Random(seed)  # noqa: S311  synthetic text, not a secret
    names, texts = set(avoid), set[str]()
    notes: list[Note] = []
    while len(notes) < count:
        patient = _make_patient(rng, names)
        names.add(patient.name)
        for kind in rng.sample(sentences.KINDS, rng.choice((1, 1, 2, 2, 3))):
            text = _write(rng, kind, patient)
            if len(notes) < count and text not in texts:
                texts.add(text)
                notes.append(_file(len(notes) + 1, text, patient))
    return notes


def make_questions(notes: list[Note], count: int, seed: int) -> list[Question]:
    """`count` questions, half about one patient and half about a diagnosis treated with a medicine.

    Raises:
        InvalidArgument: there are no notes to ask about.
    """
    if not notes:
        raise InvalidArgument("there are no notes to ask about")
    rng = random.Random(seed)  # noqa: S311  synthetic text, not a secret
    by_patient: Callable[[Note], object] = lambda note: note.patient  # noqa: E731
    by_therapy: Callable[[Note], object] = lambda note: (note.diagnosis, note.medication)  # noqa: E731
    questions = []
    for number in range(count):
        note = rng.choice(notes)
        about, forms = (by_patient, sentences.ASK_PATIENT) if number % 2 else (by_therapy, sentences.ASK_THERAPY)
        text = rng.choice(forms).format(**note.payload())
        questions.append(Question(text, frozenset(other.id for other in notes if about(other) == about(note))))
    return questions


def _make_patient(rng: random.Random, taken: Collection[str]) -> Patient:
    department = rng.choice(DEPARTMENTS)
    female = department.name == "gynecology" or rng.random() < 0.5
    while True:
        first, last = rng.choice(WOMEN if female else MEN), rng.choice(SURNAMES)
        if f"{first} {last}" not in taken:
            break
    diagnosis = rng.choice(tuple(department.treatments))
    address = rng.choice((f"{first}.{last}", f"{first[0]}{last}", f"{last}{rng.randint(1, 99)}", f"{first}_{last}"))
    return Patient(
        name=f"{first} {last}",
        pronouns=("she", "her", "her") if female else ("he", "him", "his"),
        age=rng.randint(19, 88),
        email=f"{address.lower()}@{rng.choice(MAIL_DOMAINS)}",
        phone=f"{rng.randint(201, 989)}-555-01{rng.randint(0, 99):02d}",
        department=department,
        diagnosis=diagnosis,
        medication=rng.choice(department.treatments[diagnosis]),
    )


def _write(rng: random.Random, kind: sentences.Kind, patient: Patient) -> str:
    they, them, their = patient.pronouns
    words = sentences.Words(
        name=patient.name,
        last=patient.name.split()[1],
        age=patient.age,
        email=patient.email,
        phone=patient.phone,
        department=patient.department.name,
        clinician=patient.department.clinician,
        diagnosis=patient.diagnosis,
        medication=patient.medication,
        symptom=rng.choice(patient.department.symptoms),
        test=rng.choice(patient.department.tests),
        they=they,
        them=them,
        their=their,
    )
    return sentences.compose(rng, kind, words)


def _file(number: int, text: str, patient: Patient) -> Note:
    return Note(
        id=number,
        text=text,
        patient=patient.name,
        email=patient.email,
        phone=patient.phone,
        diagnosis=patient.diagnosis,
        medication=patient.medication,
        department=patient.department.name,
    )
