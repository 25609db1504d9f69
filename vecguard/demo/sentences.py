"""The grammar of the synthetic notes: for each kind of note, the sentences it may open, go on and close with."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass

from vecguard.demo.vocabulary import ALLERGIES, CITIES, HABITS, INSURERS, OCCUPATIONS, RELATIVES, SINCE, WHEN, WORRIES

DOSES = ("2.5 mg", "5 mg", "10 mg", "20 mg", "25 mg", "40 mg", "50 mg", "75 mg", "100 mg", "200 mg")
TIMES = ("daily", "twice daily", "every morning", "at bedtime", "weekly", "every other day")


@dataclass(frozen=True)
class Words:
    """What a sentence may name about the patient."""

    name: str
    last: str
    age: int
    email: str
    phone: str
    department: str
    clinician: str
    diagnosis: str
    medication: str
    symptom: str
    test: str
    they: str
    them: str
    their: str


@dataclass(frozen=True)
class Kind:
    """One kind of note: a sentence is drawn from each tuple of `parts`, in order."""

    name: str
    parts: tuple[tuple[str, ...], ...]


CONTACT = (
    "Reach {them} at {phone} or {email}.",
    "Contact: {email}, {phone}.",
    "Results to {email}.",
    "Call {phone} with the result.",
    "{They} prefers e-mail: {email}.",
    "Phone {phone}; leave no message with the {relative}.",
    "Send the letter to {email}.",
)
LIFE = (
    "Works as a {occupation} in {city} and worries about {worry}.",
    "{They} {habit}.",
    "Lives in {city} with {their} {relative}.",
    "Allergic to {allergy}.",
    "Retired {occupation}; {habit}.",
    "The {relative} does not know of the diagnosis.",
    "{They} is anxious about {worry}.",
)
PLAN = (
    "Started {medication} {dose} {times}.",
    "Plan: {medication} {dose} {times}, {test} {when}.",
    "{Medication} raised to {dose} {times}.",
    "Continue {medication}; review {when}.",
    "Switched to {medication} {dose} because of side effects.",
    "We agreed on {medication} and {test} {when}.",
)

KINDS = (
    Kind(
        "visit",
        (
            (
                "{name}, {age}, seen in {department} with {symptom}; known {diagnosis}.",
                "{Department} visit: {name} ({age}) reports {symptom} since {since}. {Diagnosis} confirmed.",
                "Today {name}, a {age} year old {occupation}, came to {department} because of {symptom}. "
                "Impression: {diagnosis}.",
                "{name} returns with worsening {diagnosis}: {symptom} since {since}.",
            ),
            PLAN,
            CONTACT + LIFE,
        ),
    ),
    Kind(
        "telephone call",
        (
            (
                "Phone call from {name} about {diagnosis}: {symptom} since {since}.",
                "{name} rang the {department} desk, {symptom} despite {medication}. Background {diagnosis}.",
                "Call taken from the {relative} of {name}, who has {diagnosis} and now {symptom}.",
                "Message for the {clinician}: {name} has run out of {medication} for {their} {diagnosis}.",
            ),
            (
                "Advised {test} {when}.",
                "Told to take {medication} {dose} {times}.",
                "Asked {them} to come in {when}.",
                "Prescription for {medication} {dose} renewed.",
            ),
            (
                "Call back on {phone}.",
                "Number: {phone}.",
                "Confirm by e-mail to {email}.",
                "Can be reached at {phone}.",
            ),
        ),
    ),
    Kind(
        "referral",
        (
            (
                "Dear colleague, thank you for seeing {name}, {age}, with {diagnosis}.",
                "Referral to the {clinician}: {name} ({age}), {diagnosis}, {symptom} since {since}.",
                "Please review {name} of {city}, {age} years, suspected {diagnosis} with {symptom}.",
            ),
            (
                "{They} takes {medication} {dose} {times}.",
                "Treatment so far: {medication}. Allergic to {allergy}.",
                "{Test} is booked {when}; {medication} was stopped.",
            ),
            CONTACT,
        ),
    ),
    Kind(
        "discharge",
        (
            (
                "Discharge summary: {name}, {age}, admitted with {symptom}. Final diagnosis {diagnosis}.",
                "{name} goes home {when} after treatment of {diagnosis}.",
                "Admitted to {department}: {name}, {symptom}, {diagnosis} proven by {test}.",
            ),
            (
                "Going home on {medication} {dose} {times}.",
                "Medication: {medication} {dose}. Repeat {test} {when}.",
                "Stable on {medication}; {clinician} appointment {when}.",
            ),
            CONTACT + LIFE,
        ),
    ),
    Kind(
        "insurance",
        (
            (
                "{insurer} asks whether {name} has {diagnosis}; cover for {medication} is in doubt.",
                "Claim for {name}, born {year}: {diagnosis}, {test}, insurer {insurer}.",
                "Letter to {insurer}: {name} needs {medication} for {diagnosis}.",
            ),
            (
                "The employer must not learn of it.",
                "{They} consents to disclosure.",
                "Enclosed: report of {test}.",
                "Refused once already; appeal {when}.",
            ),
            ("Copy to {email}.", "Reply to {email} or {phone}.", "Patient's number {phone}."),
        ),
    ),
    Kind(
        "social",
        (
            (
                "Social work: {name}, {occupation}, {age}, struggles with {diagnosis} and {worry}.",
                "Home visit to {name} in {city}: {diagnosis}, {symptom}, {habit}.",
                "{name} told the {department} nurse in confidence that {they} fears {worry}; {diagnosis} since {year}.",
            ),
            (
                "The {relative} helps with {medication}.",
                "{Medication} is often forgotten.",
                "Sick note for two weeks; {test} {when}.",
            ),
            CONTACT,
        ),
    ),
    Kind(
        "laboratory",
        (
            (
                "Result for {name}: {test} supports {diagnosis}.",
                "{Test} of {name} ({age}) abnormal, in keeping with {diagnosis}.",
                "Urgent result, {department}: {name}, {diagnosis} not controlled on {medication}.",
            ),
            (
                "Inform the {clinician}, consider {medication} {dose}.",
                "Repeat {when}. Still {symptom}.",
                "Increase {medication} to {dose} {times}.",
            ),
            ("Patient informed at {phone}.", "Not yet told; {email}.", "Sent to {email} {when}."),
        ),
    ),
)

ASK_PATIENT = (
    "What is {patient} being treated for?",
    "Which medicine does {patient} take?",
    "How can we contact {patient}?",
    "Latest notes on {patient} from {department}",
    "Does {patient} have {diagnosis}?",
)
ASK_THERAPY = (
    "Who takes {medication} for {diagnosis}?",
    "patients with {diagnosis} on {medication}",
    "Which {department} patients got {medication} because of {diagnosis}?",
    "notes about {diagnosis} treated with {medication}",
)


def compose(rng: random.Random, kind: Kind, words: Words) -> str:
    """One note: a sentence from each part of `kind`, with the patient's words and chance details filled in."""
    fields: dict[str, str | int] = asdict(words) | {
        "they": words.they,
        "occupation": rng.choice(OCCUPATIONS),
        "city": rng.choice(CITIES),
        "relative": rng.choice(RELATIVES),
        "habit": rng.choice(HABITS),
        "allergy": rng.choice(ALLERGIES),
        "worry": rng.choice(WORRIES),
        "when": rng.choice(WHEN),
        "since": rng.choice(SINCE),
        "insurer": rng.choice(INSURERS),
        "dose": rng.choice(DOSES),
        "times": rng.choice(TIMES),
        "year": 2024 - words.age,
    }
    for key in ("they", "diagnosis", "medication", "department", "test"):
        text = str(fields[key])
        fields[key.capitalize()] = text[0].upper() + text[1:]
    return " ".join(rng.choice(part).format(**fields) for part in kind.parts)
