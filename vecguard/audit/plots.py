"""The pictures of a report, as SVG text that stands in the page itself."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

from vecguard.audit.outcome import Audit, Result
from vecguard.audit.textual import TOKEN_F1

# Okabe & Ito's colours, which stay apart for colour-blind readers; clear storage comes first.
COLOURS: Final = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
FLOOR_COLOUR: Final = "#999999"


def figure(width: float, height: float) -> tuple[Any, Any]:
    """A figure without a window, and its one axes."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), layout="constrained")
    axes = drawn.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.3)
    return drawn, axes


def svg(drawn: Any) -> str:
    """The figure as an `<svg>` element; the same figure gives the same text."""
    import matplotlib

    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "vecguard", "svg.fonttype": "none"}):
        drawn.savefig(out, format="svg", metadata={"Date": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def pairs_plot(audit: Audit, attack: str, metric: str, title: str) -> str | None:
    """A figure over the number of leaked pairs, one line a defence; None where the attack was not run."""
    results = [result for result in audit.results if result.attack == attack]
    if not results:
        return None
    drawn, axes = figure(6.4, 3.6)
    for index, result in enumerate(results):
        pairs, values, low, high = _curve(result, metric)
        colour = COLOURS[index % len(COLOURS)]
        axes.plot(pairs, values, marker="o", color=colour, label=result.defence)
        axes.fill_between(pairs, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.axhline(results[0].floor, color=FLOOR_COLOUR, linestyle="--", label="floor: knowing nothing")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("leaked pairs")
    axes.set_ylabel(metric)
    axes.set_title(title)
    axes.legend(frameon=False, fontsize=8)
    return svg(drawn)


def bars_plot(audit: Audit) -> str:
    """Token F1 of every text attack at its strongest, by defence, above the floor of unrelated text."""
    chosen = [(a.name, a.title) for a in audit.attacks if a.metric == TOKEN_F1]
    names = [outcome.name for outcome in audit.defences]
    drawn, axes = figure(8.0, 3.8)
    width = 0.8 / max(len(names), 1)
    for index, name in enumerate(names):
        values = [_value(audit, attack, name) for attack, _ in chosen]
        places = [place + (index - (len(names) - 1) / 2) * width for place in range(len(chosen))]
        bars = axes.bar(places, values, width * 0.94, color=COLOURS[index % len(COLOURS)], label=name)
        axes.bar_label(bars, [f"{value:.2f}" for value in values], fontsize=7, padding=1)
    if audit.text_floor is not None:
        axes.axhline(audit.text_floor, color=FLOOR_COLOUR, linestyle="--", label="floor: unrelated text")
    axes.set_xticks(range(len(chosen)), [_wrapped(title) for _, title in chosen], fontsize=8)
    axes.set_ylim(0, 1.1)
    axes.set_ylabel(TOKEN_F1)
    axes.legend(frameon=False, fontsize=8)
    return svg(drawn)


def _curve(result: Result, metric: str) -> tuple[list[int], list[float], list[float], list[float]]:
    """The best reading at each number of pairs."""
    best: dict[int, Any] = {}
    for reading in result.readings:
        if reading.metric == metric and reading.pairs:
            known = best.get(reading.pairs)
            if known is None or reading.interval.value > known.value:
                best[reading.pairs] = reading.interval
    pairs = sorted(best)
    values, low, high = ([float(getattr(best[m], side)) for m in pairs] for side in ("value", "low", "high"))
    return pairs, values, low, high


def _value(audit: Audit, attack: str, defence: str) -> float:
    values = [r.value for r in audit.results if r.attack == attack and r.defence == defence]
    return max(values, default=0.0)


def _wrapped(title: str, every: int = 3) -> str:
    words: Sequence[str] = title.split()
    return "\n".join(" ".join(words[i : i + every]) for i in range(0, len(words), every))
