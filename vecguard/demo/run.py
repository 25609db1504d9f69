"""The demo from end to end: write, search, steal, invert, compare; once without and once with VecGuard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vecguard.demo import application, picture, table
from vecguard.demo.attack import Attacker, floor, with_leaked_pairs
from vecguard.demo.corpus import Corpus, embed, make_texts
from vecguard.demo.embedder import DIMS, MiniLM
from vecguard.demo.extras import require_extras
from vecguard.demo.folder import DemoFolder, prepare
from vecguard.demo.outcome import Outcome, Side
from vecguard.demo.serving import bare_engine, protected_engine
from vecguard.demo.thief import Loot, database_files, readable_bytes, readable_payloads, scroll_everything
from vecguard.errors import Unavailable

LEAKED_PAIRS = 100
Server = Callable[[Path, Path], AbstractContextManager[int]]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Used:
    """What the application saw of one database; `read_back` holds the payloads that it read, by note id."""

    answers: application.Answers
    write_seconds: float
    read_back: Mapping[int, Mapping[str, object]]


@dataclass(frozen=True)
class Evidence:
    """One database's folder, what the application saw of it, and what the thief read from it without a key."""

    used: Used
    loot: Loot
    data: Path


def run(count: int, out: Path, seed: int, console: Console) -> Outcome:
    """Runs the demo, prints its tables and leaves the picture and all figures in `out`.

    Args:
        count: notes to store.
        out: the demo's folder; made if missing, refused if it holds anything else.
        seed: decides every text; the keys are fresh each time.
        console: where tables and progress go.

    Raises:
        ConfigError: an extra is missing or the folder cannot be used.
        InvalidArgument: `count` is out of range.
        Unavailable: a server did not start, or does not hold every note that it acknowledged.
    """
    require_extras()
    texts = make_texts(count, seed)
    folder = prepare(out)
    with _bars(console) as bars:
        with _bar(bars, "embedding texts", len(texts)) as advance:
            corpus = embed(texts, MiniLM(), advance)
        plain = _use_and_steal(bare_engine, folder, folder.unprotected, corpus, bars)
        safe = _use_and_steal(protected_engine, folder, folder.protected, corpus, bars)
        with _bar(bars, "inverting stolen vectors", 5) as advance:
            outcome = _measure(corpus, plain, safe, seed, advance)
    folder.figures.write_text(outcome.to_json())
    picture.draw(outcome, folder.picture)
    _show(console, outcome, plain, safe, folder)
    return outcome


def _use_and_steal(server: Server, folder: DemoFolder, data: Path, corpus: Corpus, bars: Progress) -> Evidence:
    used = _use(server, data, folder.log(data.name), corpus, bars)
    # The thief starts the database on the stolen folder, without VecGuard, and asks it for everything.
    with _bar(bars, f"stealing, {data.name}", len(corpus.texts.notes)) as advance:
        with bare_engine(data, folder.log(f"thief-{data.name}")) as port:
            loot = scroll_everything(f"127.0.0.1:{port}", application.COLLECTION)
        advance(len(loot.ids))
    if loot.ids != tuple(note.id for note in corpus.texts.notes):
        raise Unavailable(f"{data.name}: {len(loot.ids)} of {len(corpus.texts.notes)} notes were stored")
    return Evidence(used, loot, data)


def _use(server: Server, data: Path, log: Path, corpus: Corpus, bars: Progress) -> Used:
    notes = corpus.texts.notes
    with server(data, log) as port:
        client = application.connect(port)
        try:
            with _bar(bars, f"writing, {data.name}", len(notes)) as advance:
                seconds = application.write(client, notes, corpus.notes, advance)
            with _bar(bars, f"searching, {data.name}", len(corpus.questions)) as advance:
                answers = application.ask(client, corpus.questions, advance)
            return Used(answers, seconds, application.read_back(client, notes))
        finally:
            client.close()


def _measure(corpus: Corpus, plain: Evidence, safe: Evidence, seed: int, advance: Advance) -> Outcome:
    notes, pairs = corpus.texts.notes, min(LEAKED_PAIRS, len(corpus.texts.notes) // 4)
    attacker = Attacker.train(corpus.texts.own, corpus.own)
    advance(1)
    unprotected = _side(corpus, attacker, plain)
    advance(1)
    protected = _side(corpus, attacker, safe)
    advance(1)
    bottom = floor(attacker, notes, DIMS, seed + 3)
    advance(1)
    leaked = attacker.attack(with_leaked_pairs(safe.loot.vectors, corpus.notes[:pairs]), notes[pairs:])
    advance(1)
    return Outcome(
        notes=len(notes),
        questions=len(corpus.texts.questions),
        attacker_notes=len(corpus.texts.own),
        unprotected=unprotected,
        protected=protected,
        floor=bottom,
        leaked_pairs=pairs,
        leaked=leaked,
    )


def _side(corpus: Corpus, attacker: Attacker, evidence: Evidence) -> Side:
    notes, answers = corpus.texts.notes, evidence.used.answers
    exact = application.exact_neighbours(corpus.notes, corpus.questions)
    secrets = [value for note in notes for value in note.payload().values()]
    return Side(
        readable_bytes=readable_bytes(database_files(evidence.data), secrets),
        readable_notes=readable_payloads(evidence.loot, [note.text for note in notes]),
        leakage=attacker.attack(evidence.loot.vectors, notes),
        intact_notes=sum(evidence.used.read_back.get(note.id) == note.payload() for note in notes),
        recall=application.recall(answers, exact, notes),
        hit_rate=application.hit_rate(answers, [question.relevant for question in corpus.texts.questions]),
        p50_ms=answers.latency_ms(50),
        p99_ms=answers.latency_ms(99),
        write_seconds=evidence.used.write_seconds,
    )


def _show(console: Console, outcome: Outcome, plain: Evidence, safe: Evidence, folder: DemoFolder) -> None:
    points = [(one.loot.payloads[0], one.loot.vectors[0].tolist()) for one in (plain, safe)]
    table.show(
        console,
        table.stolen_point(points[0], points[1], safe.used.read_back[safe.loot.ids[0]]),
        table.results(outcome),
        table.findings(outcome),
        f"Picture: {folder.picture}\nFigures: {folder.figures}",
    )


def _bars(console: Console) -> Progress:
    columns = (TextColumn("{task.description:28}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


@contextmanager
def _bar(bars: Progress, description: str, total: int) -> Iterator[Advance]:
    task = bars.add_task(description, total=total)
    yield lambda done: bars.advance(task, done)
    bars.stop_task(task)
