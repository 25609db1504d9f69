"""Everything the demo measured, and what may honestly be concluded from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from vecguard.demo.attack import Leakage

# An inversion result counts only if the same attack reaches this F1 on unprotected vectors.
ATTACK_WORKS_F1 = 0.5
COMPARED = ("nearest_token_f1", "nearest_diagnosis", "words_f1", "guessed_diagnosis", "guessed_name")


@dataclass(frozen=True)
class Side:
    """One database. Shares lie in 0..1, latencies are milliseconds as the client sees them.

    readable_bytes: bytes of the stored files copied from payload values; readable_notes: points whose text can be read.
    intact_notes: notes whose payload the application reads back unchanged through its client.
    recall: recall@10 against exact search; hit_rate: questions with a relevant note in the top ten.
    """

    readable_bytes: int
    readable_notes: int
    leakage: Leakage
    intact_notes: int
    recall: float
    hit_rate: float
    p50_ms: float
    p99_ms: float
    write_seconds: float


@dataclass(frozen=True)
class Outcome:
    """The whole run. `leaked` is what adversary B gets from the protected side with `leaked_pairs` known pairs."""

    notes: int
    questions: int
    attacker_notes: int
    unprotected: Side
    protected: Side
    floor: Leakage
    leaked_pairs: int
    leaked: Leakage

    def attack_works(self) -> bool:
        """Whether the word inverter succeeds undefended; if not, its failure on protected data shows nothing."""
        return self.unprotected.leakage.words_f1 >= ATTACK_WORKS_F1

    def above_floor(self) -> list[str]:
        """The measures in which the protected side leaks more than random vectors, beyond chance.

        The tolerance is three standard errors of a share, at their largest: 3 * sqrt(0.25 / notes).
        """
        tolerance = 3.0 * (0.25 / self.notes) ** 0.5
        protected, floor = self.protected.leakage, self.floor
        return [name for name in COMPARED if getattr(protected, name) > getattr(floor, name) + tolerance]

    def findings(self) -> list[tuple[bool, str]]:
        """Sentences for the reader, each with whether it speaks for the protection."""
        plain, safe = self.unprotected, self.protected
        return [
            (
                self.attack_works(),
                f"The word inverter {'works' if self.attack_works() else 'FAILS'} on unprotected vectors "
                f"(F1 {plain.leakage.words_f1:.2f}, {ATTACK_WORKS_F1} is asked for); the nearest-note inverter's "
                f"token F1 is {plain.leakage.nearest_token_f1:.2f}"
                f"{'' if plain.leakage.nearest_token_f1 >= ATTACK_WORKS_F1 else ', too weak to judge by alone'}.",
            ),
            (
                not self.above_floor(),
                "On protected vectors no inverter does better than on random ones."
                if not self.above_floor()
                else f"Protected vectors still leak above the floor: {', '.join(self.above_floor())}.",
            ),
            (
                safe.readable_bytes == 0 and safe.readable_notes == 0,
                f"Payload text readable in the protected database: {safe.readable_bytes} bytes, "
                f"{safe.readable_notes} notes.",
            ),
            (
                safe.intact_notes == self.notes,
                f"The application reads {safe.intact_notes:,} of {self.notes:,} notes back unchanged.",
            ),
            (
                safe.recall >= 0.99,
                f"Search through the proxy finds {safe.recall:.1%} of what exact search finds.",
            ),
            (
                False,
                f"Not covered: a thief who also knows the text behind {self.leaked_pairs} stored vectors can undo part "
                f"of the rotation and then guesses {self.leaked.guessed_diagnosis:.0%} of the other diagnoses "
                f"(floor {self.floor.guessed_diagnosis:.0%}).",
            ),
        ]

    def to_json(self) -> str:
        """All figures, indented."""
        return json.dumps(asdict(self), indent=2) + "\n"
