"""A run's picture: ROC curves of all judges, and what had left at each rung by attack."""

from __future__ import annotations

from pathlib import Path

from benchmarks.detection.measures import BUDGET, roc
from benchmarks.detection.rows import BOUND, Document, plain

_COLOURS = {"VecGuard": "#14532d", "rate limit": "#9aa5b1", "PRADA": "#b45309", "Chen et al.": "#1d4ed8"}


def draw(path: Path, document: Document) -> None:
    """Write the picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(14, 6))
    for name, honest in document["honest_worst"].items():
        outcomes = document["outcomes"] if name == "VecGuard" else document["baselines"][name]
        chosen = [one for one in outcomes if one["variant"]["sybils"] == 1 and one["variant"]["mix"] == 0]
        false, true = roc(honest, [one["worst"] for one in chosen])
        left.step(false, true, where="post", color=_COLOURS[name], label=name)
    left.axvline(BUDGET, color="#b91c1c", linewidth=1, linestyle="--")
    left.set(xscale="symlog", xlabel="false positives per principal-day", ylabel="attacks told", ylim=(0, 1.02))
    left.set_xscale("symlog", linthresh=1e-3)
    left.set_title("ROC: one account, unhidden, fast and drip", fontsize=10)
    left.legend(frameon=False)
    crawls = [one for one in plain(document) if _goal(document, one) == "records"]
    for rung, mark in (("alert", "o"), ("block", "x")):
        shares = [one["gone"].get(rung, one["end"])["records"] for one in crawls]
        right.plot(shares, range(len(crawls)), mark, color="#14532d", label=rung)
    right.axvline(BOUND, color="#b91c1c", linewidth=1, linestyle="--")
    right.set_yticks(range(len(crawls)), [one["attack"] for one in crawls])
    right.set(xlabel="records gone", xscale="log")
    right.set_title("records gone at alert and at block (or at the end)", fontsize=10)
    right.legend(frameon=False)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _goal(document: Document, one: dict[str, object]) -> str:
    return next(str(found["goal"]) for found in document["attacked"] if found["attack"] == one["attack"])
