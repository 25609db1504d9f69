"""The thresholds of a policy's `audit` section, held against an audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vecguard.audit.defence import CLEAR, rule_text
from vecguard.audit.outcome import Audit, Result
from vecguard.audit.textual import TOKEN_F1
from vecguard.errors import ConfigError
from vecguard.policy.audit import AuditThresholds
from vecguard.policy.model import VectorRule

# What the thresholds are about.
ATTACKS_NEEDED: Final = ("inversion", "alignment", "linkage", "unsupervised")
PAIRS_ATTACK: Final = "linkage"


def breaches(audit: Audit, thresholds: AuditThresholds) -> list[str]:
    """One sentence for each threshold that a defence passes; none where all are kept.

    An attack that fails on clear storage proves nothing, so that a threshold on it counts as passed.
    """
    return [
        sentence
        for outcome in audit.defences
        if outcome.name != CLEAR
        for sentence in _of_defence(audit, outcome.name, thresholds)
    ]


def check_report(audit: Audit, rule: VectorRule) -> None:
    """Whether an earlier audit can be held against a policy: it attacked this very rule by every attack that is needed.

    Raises:
        ConfigError: it did not.
    """
    attacks = {attack.name for attack in audit.attacks}
    if missing := [name for name in ATTACKS_NEEDED if name not in attacks]:
        raise ConfigError(f"the report lacks the attacks {', '.join(missing)}: run the audit with them")
    rules = [outcome.rule for outcome in audit.defences if outcome.name != CLEAR]
    if rules != [rule_text(rule)]:
        raise ConfigError("the report is not one of this policy's rule for vectors: run the audit again")


def _of_defence(audit: Audit, defence: str, thresholds: AuditThresholds) -> Iterator[str]:
    # A report may hold further attacks: the same policy gets the same answer from it as from a run of the gate's own.
    results = [result for result in audit.of(defence) if result.attack in ATTACKS_NEEDED]
    if thresholds.max_token_f1 is not None:
        texts = [r for r in results if r.metric == TOKEN_F1 or any(x.metric == TOKEN_F1 for x in r.readings)]
        yield from _leaks(defence, texts, thresholds.max_token_f1, thresholds.max_pairs)
    if thresholds.min_recall is not None:
        recall = next(o.utility.recall.value for o in audit.defences if o.name == defence)
        if recall < thresholds.min_recall:
            yield f"{defence}: recall@10 is {recall:.4f}, below min_recall {thresholds.min_recall:g}"
    if thresholds.max_pairs_recovery is not None:
        yield from _links(defence, results, thresholds)


def _leaks(defence: str, results: list[Result], most: float, pairs: int) -> Iterator[str]:
    for result in results:
        found = [r for r in result.readings if r.metric == TOKEN_F1 and r.pairs <= pairs]
        if result.verdict == "not measured":
            yield f"{defence}: {result.attack} fails on clear storage ({result.undefended:.3f}), so it proves nothing"
        elif found and (top := max(found, key=lambda r: r.interval.value)).interval.value > most:
            at = f" at {top.pairs:,} leaked pairs" if top.pairs else ""
            leaked = f"{result.attack} recovers token F1 {top.interval.value:.3f}{at}"
            yield f"{defence}: {leaked}, above max_token_f1 {most:g}"


def _links(defence: str, results: list[Result], thresholds: AuditThresholds) -> Iterator[str]:
    most = thresholds.max_pairs_recovery
    for result in results:
        if result.attack != PAIRS_ATTACK or most is None:
            continue
        if result.verdict == "not measured":
            yield f"{defence}: {PAIRS_ATTACK} fails on clear storage, so it proves nothing"
            continue
        found = [r for r in result.readings if r.metric == result.metric and r.pairs <= thresholds.max_pairs]
        if found and (top := max(found, key=lambda r: r.interval.value)).interval.value > most:
            yield (
                f"{defence}: {top.pairs:,} leaked pairs find {top.interval.value:.1%} of records, above "
                f"max_pairs_recovery {most:g}"
            )
