"""The demo's result as one picture: what an attacker recovers, beside what the application keeps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vecguard.demo.outcome import Outcome

# Okabe & Ito's colours, which stay apart for colour-blind readers.
COLOURS = {"unprotected": "#D55E00", "protected": "#0072B2", "floor": "#999999"}
WIDTH = 0.27
SIZE_INCHES = (12.0, 5.6)
DPI = 130


def leakage_series(outcome: Outcome) -> tuple[list[str], dict[str, list[float]]]:
    """Labels of the left panel and, per side, one value in 0..1 for each label."""
    measures = {
        "nearest note\ntoken F1": "nearest_token_f1",
        "bag of words\nF1": "words_f1",
        "diagnosis\nguessed": "guessed_diagnosis",
        "full name\nguessed": "guessed_name",
    }
    sides = {
        "unprotected": outcome.unprotected.leakage,
        "protected": outcome.protected.leakage,
        "floor": outcome.floor,
    }
    values = {side: [float(getattr(leakage, name)) for name in measures.values()] for side, leakage in sides.items()}
    return list(measures), values


def use_series(outcome: Outcome) -> tuple[list[str], dict[str, list[float]]]:
    """Labels of the right panel and, per side, one value in 0..1 for each label."""
    sides = {"unprotected": outcome.unprotected, "protected": outcome.protected}
    return ["recall@10\nvs exact search", "relevant note\nin the top 10"], {
        name: [side.recall, side.hit_rate] for name, side in sides.items()
    }


def draw(outcome: Outcome, path: Path) -> None:
    """Writes the picture as PNG to `path`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(2.2, 1.0))
    plain, safe = outcome.unprotected, outcome.protected
    _bars(left, *leakage_series(outcome))
    left.set_title("What a thief of the database recovers from its vectors\n(lower is safer)")
    left.set_ylabel("share recovered")
    left.legend(["unprotected", "protected", "floor: random vectors"], loc="upper left", ncols=3, frameon=False)
    left.set_xlabel(
        f"payload bytes readable in the stored files: {plain.readable_bytes:,} unprotected, "
        f"{safe.readable_bytes:,} protected\n"
        f"not covered: who also knows {outcome.leaked_pairs} (text, stored vector) pairs guesses "
        f"{outcome.leaked.guessed_diagnosis:.0%} of the other diagnoses"
    )
    _bars(right, *use_series(outcome))
    right.set_title("What the application keeps\n(higher is better)")
    right.set_ylabel("share")
    right.set_xlabel(f"search latency, median:\n{plain.p50_ms:.1f} ms unprotected, {safe.p50_ms:.1f} ms protected")
    figure.suptitle(f"VecGuard demo: {outcome.notes:,} synthetic clinic notes", fontweight="bold")
    figure.savefig(path)


def _bars(axes: Any, labels: list[str], series: dict[str, list[float]]) -> None:
    for index, (side, values) in enumerate(series.items()):
        places = [place + (index - (len(series) - 1) / 2) * WIDTH for place in range(len(labels))]
        bars = axes.bar(places, values, WIDTH * 0.94, color=COLOURS[side], label=side)
        axes.bar_label(bars, [f"{value:.3f}" for value in values], padding=2, fontsize=8.5)
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylim(0.0, 1.22)
    axes.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
