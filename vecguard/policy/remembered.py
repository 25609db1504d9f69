"""Answers that a policy gave, kept beside it: one in force never changes, so they hold until it is replaced.

Every call asks the same questions anew, and working an answer out takes many times as long as looking it up.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

from vecguard.model import Action, Allowance, Grant, Principal

if TYPE_CHECKING:  # which has these answers
    from vecguard.policy.model import CollectionPolicy, Policy

Question = TypeVar("Question", bound=Hashable)
Answer = TypeVar("Answer")
Copied = TypeVar("Copied", bound="Policy")

# Questions hold names that clients send, so few are remembered.
_MOST: Final = 1_024
# Characters of a name beyond which an answer is not kept: a message, and a name in it, may have many MiB.
_LONGEST: Final = 1_024


class Remembered(dict[Question, Answer]):
    """Answers by question, at most so many: when it is full it starts anew."""

    def keep(self, question: Question, answer: Answer) -> Answer:
        """Remember an answer, unless a name in the question is very long; returns it."""
        names = question if isinstance(question, tuple) else (question,)
        if any(isinstance(name, str) and len(name) > _LONGEST for name in names):
            return answer
        if len(self) >= _MOST:
            self.clear()
        self[question] = answer
        return answer


@dataclass(frozen=True, slots=True)
class Answers:
    """Of one policy. Refusals are not kept."""

    entries: Remembered[str, CollectionPolicy | None] = field(default_factory=Remembered)
    """The entry of each collection, by its name."""
    grants: Remembered[tuple[Principal, Action, str | None, str], Grant] = field(default_factory=Remembered)
    """What `decide` granted, by principal, action, collection and operation."""
    admissions: Remembered[tuple[Principal, Action, str], tuple[Allowance, ...]] = field(default_factory=Remembered)
    """What `admit` answered, by principal, action and operation."""


def without_answers(copied: Copied) -> Copied:
    """A copy of a policy, that may become another one, without what the first one answered."""
    copied.__dict__.pop("answers", None)
    return copied
