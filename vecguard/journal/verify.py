"""Reading journals back: is every line as it was written, and is none missing between the first and the last?

What it proves depends on who is doubted. Without the key, nothing inside a file can be changed unnoticed; the next file
tells of one that is missing, and of an end that was cut off after the next was begun. The end of the last file can be
cut off; a checkpoint of the log from before the cut tells of it. Who has the key can write a journal anew; only
checkpoints that are out of reach tell of that.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vecguard.errors import Unreadable
from vecguard.journal.chain import (
    CHECKPOINT,
    CLOSING,
    CONTEXT,
    FORMAT,
    LOST,
    OPENING,
    SHREDDED,
    Chain,
    Line,
    file_key,
    read_line,
)
from vecguard.journal.writer import Place

Unwrap = Callable[[bytes, bytes], bytes]
"""`(wrapped, context) -> key`. Raises Unreadable, Unavailable."""

_MAC_DIGITS: Final = 64


@dataclass
class Report:
    """What was found in one file. `faults` is empty where every line is as it was written."""

    file: str
    lines: int = 0
    closed: bool = False
    lost: int = 0
    first: str = ""
    last: str = ""
    after: Place | None = None
    places: dict[int, str] = field(default_factory=dict)
    """Macs in hex by line number, of the lines that are whole."""
    faults: list[str] = field(default_factory=list)
    destroyed: list[tuple[int, str]] = field(default_factory=list)
    """Lines that say whose keys were destroyed, and when, of those that are whole: number and words."""


def verify(files: Sequence[Path], unwrap: Unwrap, checkpoints: Sequence[Place] = ()) -> list[Report]:
    """A report a file, in the order given; a file's faults name the lines.

    `checkpoints` are places that were told while the journal was written; those of other files are left alone.

    Raises:
        OSError: a file cannot be read.
        Unavailable: the key provider is away.
    """
    reports = [verify_file(path, unwrap) for path in files]
    by_name = {report.file: report for report in reports}
    for report in reports:
        if report.after is not None and report.after.file in by_name:
            _require(by_name[report.after.file], report.after, f"as {report.file} says, which was begun after it")
    for place in checkpoints:
        if place.file in by_name:
            _require(by_name[place.file], place, "as a checkpoint of the log says")
    return reports


def missing(reports: Sequence[Report]) -> list[str]:
    """Files that one of these was begun after, and that are not among them: moved away on purpose, or taken."""
    known = {report.file for report in reports}
    return sorted({report.after.file for report in reports if report.after is not None} - known)


def checkpoints_of(log: Path) -> Iterator[Place]:
    """The checkpoints in a log of `vecguard serve`; lines that are something else are passed over. Raises OSError."""
    with log.open("rb") as stream:
        for text in stream:
            if CHECKPOINT.encode() not in text:
                continue
            try:
                event = json.loads(text)
                yield Place(str(event["file"]), int(event["seq"]), str(event["mac"]))
            except (ValueError, KeyError, TypeError):
                continue


def verify_file(path: Path, unwrap: Unwrap) -> Report:
    """The report of one file alone. Raises OSError, Unavailable."""
    report = Report(path.name)
    with path.open("rb") as stream:
        opening = stream.readline()
        chain = _opened(report, opening, unwrap)
        if chain is None:
            return report
        for number, text in enumerate(_with_first(opening, stream)):
            if not _follow(report, chain, number, text):
                break  # nothing after it can be judged
    return report


def _with_first(first: bytes, stream: Any) -> Iterator[bytes]:
    yield first
    yield from stream


def _follow(report: Report, chain: Chain, number: int, text: bytes) -> bool:
    """Take one more line; False where it is not the one that was written."""
    line = read_line(text.removesuffix(b"\n")) if text.endswith(b"\n") else None
    if line is None:
        report.faults.append(f"line {number}: not a line of a journal, or cut off")
        return False
    if line.number != number:
        report.faults.append(f"line {number}: has the number {line.number}: lines are missing, moved or put in")
        return False
    if chain.follow(line.event) != line.mac:
        report.faults.append(f"line {number}: does not authenticate: it, or the line before, was altered")
        return False
    event = json.loads(line.event)
    report.lines = number + 1
    report.places[number] = line.mac.hex()
    report.closed = event.get("event") == CLOSING
    report.last = str(event.get("timestamp", ""))
    report.first = report.first or report.last
    if event.get("event") == SHREDDED:
        report.destroyed.append((number, _whose(event)))
    if event.get("event") == LOST:
        report.lost += int(event["events"])
    return True


def _whose(event: Mapping[str, Any]) -> str:
    tenant = f", tenant {event['tenant']}" if "tenant" in event else ""
    return f"{event.get('collection')}{tenant}, uuid {event.get('uuid')}, at {event.get('time')}"


def _opened(report: Report, text: bytes, unwrap: Unwrap) -> Chain | None:
    """The file's chain, by the key that its first line has; the line itself is not authenticated yet."""
    line = read_line(text.rstrip(b"\n"))
    event = _opening_of(line) if line is not None else None
    if event is None:
        report.faults.append("line 0: not the opening of a journal")
        return None
    try:
        key = unwrap(base64.b64decode(event["key"], validate=True), CONTEXT)
        chain = Chain(file_key(key, bytes.fromhex(event["id"])))
        after = event["after"]
        report.after = None if after is None else Place(after["file"], after["seq"], after["mac"])
        return chain
    except Unreadable:
        report.faults.append("line 0: its key does not open: another key provider's, or altered")
    except (binascii.Error, ValueError, KeyError, TypeError):
        report.faults.append("line 0: not the opening of a journal")
    return None


def _opening_of(line: Line) -> Mapping[str, Any] | None:
    try:
        event: Mapping[str, Any] = json.loads(line.event)
    except ValueError:
        return None
    return event if event.get("event") == OPENING and event.get("format") == FORMAT else None


def _require(report: Report, place: Place, says: str) -> None:
    """Note a fault where a file does not have the line that `place` names."""
    found = report.places.get(place.seq)
    if found is None:
        report.faults.append(f"line {place.seq} was written, {says}, and is missing: the file's end was cut off")
    elif found != place.mac or len(place.mac) != _MAC_DIGITS:
        report.faults.append(f"line {place.seq} was another, {says}: the file was written anew")
