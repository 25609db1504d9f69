"""The demo's result in the terminal: the table, the side-by-side view of one stolen point, the findings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from vecguard.demo.outcome import Outcome

VALUE_WIDTH = 44
HEAD = 5


def results(outcome: Outcome) -> Table:
    """unprotected | protected | floor, first what leaks, then what the application keeps."""
    table = Table(title=f"{outcome.notes:,} notes, {outcome.questions} questions", title_justify="left")
    table.add_column("")
    for heading in ("unprotected", "protected", "floor"):
        table.add_column(heading, justify="right")
    for row in leakage_rows(outcome):
        table.add_row(*row)
    table.add_section()
    for row in use_rows(outcome):
        table.add_row(*row)
    return table


def leakage_rows(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """What a thief of the database gets; the floor is the same attack on random vectors."""
    plain, safe, floor = outcome.unprotected, outcome.protected, outcome.floor

    def share(label: str, measure: str) -> tuple[str, str, str, str]:
        values = (getattr(leakage, measure) for leakage in (plain.leakage, safe.leakage, floor))
        unprotected, protected, bottom = (f"{value:.3f}" for value in values)
        return label, unprotected, protected, bottom

    return [
        ("payload bytes readable in its files", f"{plain.readable_bytes:,}", f"{safe.readable_bytes:,}", "0"),
        ("notes readable through its API", f"{plain.readable_notes:,}", f"{safe.readable_notes:,}", "0"),
        share("nearest-note inverter: token F1", "nearest_token_f1"),
        share("  names the diagnosis", "nearest_diagnosis"),
        share("  names the patient", "nearest_name"),
        share("  holds the e-mail address", "nearest_email"),
        share("bag-of-words inverter: word F1", "words_f1"),
        share("attribute inverter: diagnosis right", "guessed_diagnosis"),
        share("  patient's full name right", "guessed_name"),
    ]


def use_rows(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """What the application notices of the protection; there is no floor to it."""
    plain, safe = outcome.unprotected, outcome.protected
    return [
        ("notes read back unchanged", f"{plain.intact_notes:,}", f"{safe.intact_notes:,}", ""),
        ("recall@10 against exact search", f"{plain.recall:.3f}", f"{safe.recall:.3f}", ""),
        ("a relevant note among the ten", f"{plain.hit_rate:.3f}", f"{safe.hit_rate:.3f}", ""),
        ("search latency p50, ms", f"{plain.p50_ms:.1f}", f"{safe.p50_ms:.1f}", ""),
        ("search latency p99, ms", f"{plain.p99_ms:.1f}", f"{safe.p99_ms:.1f}", ""),
        (
            "notes written a second",
            f"{outcome.notes / plain.write_seconds:,.0f}",
            f"{outcome.notes / safe.write_seconds:,.0f}",
            "",
        ),
    ]


def stolen_point(
    unprotected: tuple[Mapping[str, object], Sequence[float]],
    protected: tuple[Mapping[str, object], Sequence[float]],
    application: Mapping[str, object],
) -> Table:
    """One point as it lies in each database, and as the application reads it through the proxy.

    The first two are (payload, vector) of the same point; vectors show their first five components. A sealed field
    stands beside its clear one wherever the protected payload keeps it.
    """
    table = Table(title="The same point, as the thief sees it", title_justify="left")
    table.add_column("")
    for heading in ("unprotected database", "protected database", "application, through the proxy"):
        table.add_column(heading, overflow="fold", max_width=VALUE_WIDTH)
    table.add_row("vector", _head(unprotected[1]), _head(protected[1]), "")
    clear, sealed = unprotected[0], dict(leaves(protected[0]))
    for field, value in clear.items():
        stored = next((path for path in sealed if path[-1] == field), None)
        kept = None if stored is None else sealed.pop(stored)
        table.add_row(field, _shorten(value), _shorten(kept), _shorten(application.get(field)))
    for path, value in sealed.items():
        table.add_row(".".join(path), "", _shorten(value), "")
    return table


def leaves(payload: Mapping[str, object]) -> list[tuple[tuple[str, ...], object]]:
    """Every value that is not a map, with the keys that lead to it: a database may keep a field inside another."""
    found: list[tuple[tuple[str, ...], object]] = []
    for key, value in payload.items():
        if isinstance(value, Mapping):
            found += [((key, *path), leaf) for path, leaf in leaves(value)]
        else:
            found.append(((key,), value))
    return found


def findings(outcome: Outcome) -> RenderableType:
    """One line a finding: a tick where it speaks for the protection, else an exclamation mark."""
    lines = [Text(("✓ " if good else "! ") + text, "green" if good else "yellow") for good, text in outcome.findings()]
    return Group(*lines)


def show(console: Console, *parts: RenderableType) -> None:
    """Prints the parts with an empty line before each."""
    for part in parts:
        console.print()
        console.print(part)


def _head(vector: Sequence[float]) -> Text:
    return Text(" ".join(f"{value:+.3f}" for value in vector[:HEAD]) + " …")


def _shorten(value: object) -> Text:
    text = "" if value is None else str(value)
    return Text(text if len(text) <= 2 * VALUE_WIDTH else text[: 2 * VALUE_WIDTH - 1] + "…")
