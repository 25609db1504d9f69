"""The results in plain words: where each defence breaks, and which part of OWASP LLM08:2025 that concerns.

LLM08:2025 "Vector and Embedding Weaknesses" lists: unauthorized access and data leakage; cross-context information
leaks; embedding inversion attacks; data poisoning; behaviour alteration. The lab measures the first and the third, and
says so of the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, Literal

from vecguard.audit.defence import CLEAR
from vecguard.audit.outcome import AccessRow, Audit, Finding, Result

INVERSION: Final = "LLM08:2025, 3 Embedding Inversion Attacks"
ACCESS: Final = "LLM08:2025, 1 Unauthorized Access & Data Leakage"
UNMEASURED: Final = (
    "2 Cross-Context Information Leaks and Federation Knowledge Conflict",
    "4 Data Poisoning Attacks",
    "5 Behavior Alteration",
)
"""Parts of LLM08:2025 that no attack of the lab is about."""

Severity = Literal["high", "medium", "low", "unknown"]
_SEVERITY: Final[dict[str, Severity]] = {
    "broken": "high",
    "weakened": "medium",
    "at the floor": "low",
    "not measured": "unknown",
}
_LEAST_RECALL: Final = 0.99
_NOTHING_THERE: Final = {
    "attribute": "the texts have no labels, or none that the attacker's own show often enough to be learnt",
    "personal": "there are no texts with marked personal data (`--pii`)",
    "unsupervised": "there are too few records for the shape of their cloud",
    "permutation": "no defence keeps the number of coordinates",
    "trilateration": "there is no rule that a proxy could serve",
}
"""Why an attack had nothing to work on."""


def findings_of(audit: Audit) -> Audit:
    """The audit with its findings: those of each defence in the order of the attacks, then those of access."""
    found = [
        *(finding for outcome in audit.defences for finding in _of_defence(audit, outcome.name)),
        *(_of_role(row) for row in audit.access),
    ]
    return replace(audit, findings=tuple(found))


def unmeasured(audit: Audit) -> list[str]:
    """The attacks of which nothing can be said, and why."""
    said = []
    for attack in audit.attacks:
        results = [result for result in audit.results if result.attack == attack.name]
        if not results:
            said.append(f"{attack.title}: {_NOTHING_THERE.get(attack.name, 'there was nothing to run it on')}.")
        for adversary, reached in {r.adversary: r.undefended for r in results if r.verdict == "not measured"}.items():
            said.append(
                f"{attack.title}, adversary {adversary}: it reaches {attack.metric} {reached:.3f} on clear storage and "
                f"needs {attack.needed:g} there, so its figures under a defence prove nothing."
            )
    return said


def _of_defence(audit: Audit, defence: str) -> Iterator[Finding]:
    titles = {attack.name: attack.title for attack in audit.attacks}
    for result in audit.of(defence):
        owasp = ACCESS if result.adversary == "D" else INVERSION
        if defence == CLEAR:
            continue
        text = _sentence(titles[result.attack], result)
        yield Finding(defence, _SEVERITY[result.verdict], text, owasp)
    utility = next(outcome.utility for outcome in audit.defences if outcome.name == defence)
    if utility.recall.value < _LEAST_RECALL:
        text = f"Search quality: recall@10 is {utility.recall.value:.3f}, below {_LEAST_RECALL}."
        yield Finding(defence, "medium", text, "search quality")


def _sentence(title: str, result: Result) -> str:
    figures = f"{result.metric} {result.value:.3f} (clear storage {result.undefended:.3f}, floor {result.floor:.3f})"
    match result.verdict:
        case "not measured":
            return (
                f"{title}, adversary {result.adversary}: says nothing here. Undefended it reaches {result.metric} "
                f"{result.undefended:.3f} only, so that a low figure under the defence proves nothing."
            )
        case "at the floor":
            return f"{title}, adversary {result.adversary}: stopped; {figures}."
        case "weakened":
            return f"{title}, adversary {result.adversary}: weakened, not stopped; {figures}."
        case "broken":
            what = "known queries" if result.adversary == "C" else "leaked pairs"
            pairs = "" if result.breaks_at is None else f" from {result.breaks_at:,} {what} on"
            return f"{title}, adversary {result.adversary}: BREAKS{pairs}; {figures}."


def _of_role(row: AccessRow) -> Finding:
    severity: Severity = "high" if row.vectors == "exact" else "low" if row.obtains == "nothing" else "medium"
    return Finding("access", severity, f"Role {row.role}, adversary D: {row.obtains}.", ACCESS)
