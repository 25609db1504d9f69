"""Rows of a report that gather single readings: inverted text by every measure, personal data by type, floors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vecguard.audit.attacks.alignment import DEAR_AT
from vecguard.audit.attacks.personal import PARTS
from vecguard.audit.defence import CLEAR
from vecguard.audit.metrics import Interval
from vecguard.audit.outcome import Audit, Result
from vecguard.audit.reading import Reading
from vecguard.audit.textual import TOKEN_F1

TEXT_MEASURES = (TOKEN_F1, "BLEU-4", "ROUGE-L", "exact match", "re-embedding cosine")
ACCESS_HEADS = ("role", "may", "vectors", "scores", "can obtain", "token F1 of text inverted from it")
TEXT_HEADS = ("attack", "leaked pairs", "defence", "how", *TEXT_MEASURES)


def text_rows(audit: Audit) -> Iterator[tuple[str, ...]]:
    """Every measure of the text that the best inverter wrote, under `TEXT_HEADS`: with the
    numbers of leaked pairs at which slow inverters are used, else with the most."""
    titles = {attack.name: attack.title for attack in audit.attacks}
    for result in audit.results:
        tried = sorted({r.pairs for r in result.readings if r.metric == TOKEN_F1}) if result.adversary != "D" else []
        for pairs in [count for count in tried if count in DEAR_AT] or tried[-1:]:
            how, measured = _best(result, TOKEN_F1, pairs)
            figures = (f"{measured[name]:.3f}" if name in measured else "-" for name in TEXT_MEASURES)
            yield titles[result.attack], f"{pairs:,}" if pairs else "-", result.defence, how, *figures


def personal_heads(audit: Audit) -> tuple[str, ...]:
    """The heads of `personal_rows`: one column a type of personal data."""
    return "defence", "leaked pairs", "how", "all tokens", *_kinds(audit)


def personal_rows(audit: Audit) -> Iterator[tuple[str, ...]]:
    """Shares of personal data in the best inverter's texts: of all tokens, then by type `whole spans / tokens`."""
    for result in audit.results:
        if result.attack != "personal":
            continue
        for pairs in sorted({reading.pairs for reading in result.readings}):
            how, measured = _best(result, PARTS, pairs)
            kinds = (f"{measured[f'{kind}: whole']:.3f} / {measured[f'{kind}: tokens']:.3f}" for kind in _kinds(audit))
            yield result.defence, f"{pairs:,}" if pairs else "-", how, f"{measured[PARTS]:.3f}", *kinds


def interval_text(interval: Interval) -> str:
    """`.123 [.100, .150]` with three decimals."""
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}]"


def access_cells(audit: Audit) -> list[tuple[str, ...]]:
    """What each role can obtain, under `ACCESS_HEADS`."""
    return [
        (
            *(row.role, ", ".join(row.actions) or "-", row.vectors, row.scores, row.obtains),
            "not measured" if row.recovered is None else interval_text(row.recovered),
        )
        for row in audit.access
    ]


def floor_text(results: Sequence[Result]) -> str:
    """The floor of one attack over all defences; two figures where it depends on the defence."""
    defended = [result.floor for result in results if result.defence != CLEAR] or [result.floor for result in results]
    low, high = f"{min(defended):.3f}", f"{max(defended):.3f}"
    return low if low == high else f"{low} to {high}"


def _best(result: Result, metric: str, pairs: int) -> tuple[str, dict[str, float]]:
    """The variant of the largest value of a metric at this number of pairs, and all of its figures there."""
    there = [reading for reading in result.readings if reading.pairs == pairs]
    top: Reading = max((r for r in there if r.metric == metric), key=lambda reading: reading.interval.value)
    return top.variant, {r.metric: r.interval.value for r in there if r.variant == top.variant}


def _kinds(audit: Audit) -> list[str]:
    metrics = {r.metric for result in audit.results if result.attack == "personal" for r in result.readings}
    return sorted(metric.removesuffix(": whole") for metric in metrics if metric.endswith(": whole"))
