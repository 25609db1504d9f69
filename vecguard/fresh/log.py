"""What the memory holds of one record: the versions of its parts that may be there now, and the writes under way.

A *path* names a part (`stamps`), a *stamp* its content; `ABSENT` is the content of a path where nothing lies. Every
write covers paths: it puts the stamps of its leaves there, and nothing at the other ones. A record's log has two
parts: what is *settled*, from which every path that it does not list is absent, and *writes* that are under way, or
that ended while others were. A version goes when a write that covers its path, and began after the version's own write
had ended, is acknowledged. Versions whose writes overlapped therefore stand beside each other: which of them the
database applied last, nobody here can tell.

What went stays known for a while with its time, so that a read that began before is not taken for a rollback.
Pure: bytes in, bytes out; times are milliseconds of the memory's clock.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from vecguard.errors import Unavailable
from vecguard.fresh.stamps import ABSENT, STAMP_BYTES

VERSION: Final = 1
NUMBER_BYTES: Final = 4
KEEP_MS: Final = 10_000
"""How long what went stays known, for reads that began before; one that takes longer is made once more."""
LOST_MS: Final = 600_000
"""After this time a write whose end nobody told of is taken to have ended, whatever came of it."""
EMPTY: Final = struct.pack(">BI", VERSION, 0)
"""A log that knows of nothing: of a record that is not there."""
ENTRY: Final = ord("v")
"""The kind of paths that hold a vector's entry: of these only one is judged that a vector was opened by."""
ALL: Final = b"w"
"""The path of a record's whole content, as it was written at once. Whatever covers any path covers this one too, so
that all is known to be the newest where this is; where it is not, the other paths are looked at."""

_PENDING, _ENDED = 0, 1
_HEAD: Final = struct.Struct(">BI")
_SLOT: Final = struct.Struct(">BBB")
_WRITE: Final = struct.Struct(">IB4s6s")
_COUNTS: Final = struct.Struct(">HHI")


@dataclass(frozen=True, slots=True)
class Cover:
    """All paths that begin with `path`, or with `exact` this one alone."""

    path: bytes
    exact: bool = False

    def has(self, path: bytes) -> bool:
        """Whether a path is covered."""
        return path == self.path if self.exact else path.startswith(self.path)


WHOLE: Final = Cover(b"")


@dataclass(frozen=True, slots=True)
class Change:
    """What one write does to one record: paths that it covers, and the stamps that it puts there."""

    covers: tuple[Cover, ...]
    leaves: Mapping[bytes, bytes]

    def then(self, later: Change) -> Change:
        """Both, one after the other."""
        kept = {path: stamp for path, stamp in self.leaves.items() if not any(c.has(path) for c in later.covers)}
        return Change(tuple(dict.fromkeys((*self.covers, *later.covers))), {**kept, **later.leaves})


@dataclass(slots=True)
class Write:
    """A write that is under way, or ended while others were. `holes` are paths at which it was superseded."""

    number: bytes
    began: int
    ended: bool
    covers: list[Cover]
    leaves: dict[bytes, bytes]
    holes: list[Cover] = field(default_factory=list)

    def has(self, path: bytes) -> bool:
        """Whether its version of a path may be there."""
        return any(c.has(path) for c in self.covers) and not any(c.has(path) for c in self.holes)

    def over(self, now: int) -> bool:
        """Whether it ended, as far as anybody will ever tell."""
        return self.ended or now - self.began >= LOST_MS


@dataclass(slots=True)
class Slot:
    """The settled versions of one path: those that may be there, and those that went, each with when."""

    live: list[bytes] = field(default_factory=list)
    past: list[tuple[bytes, int]] = field(default_factory=list)


@dataclass(slots=True)
class Log:
    """One record's log, read."""

    settled: dict[bytes, Slot]
    writes: list[Write]

    def paths(self) -> set[bytes]:
        """All paths that it tells anything of."""
        return {*self.settled, *(path for write in self.writes for path in write.leaves)}

    def allowed(self, path: bytes, since: int) -> set[bytes]:
        """What may lie at a path, for a read that began at `since`."""
        slot = self.settled.get(path)
        found = {ABSENT} if slot is None else {*slot.live, *(stamp for stamp, went in slot.past if went >= since)}
        found.update(write.leaves.get(path, ABSENT) for write in self.writes if write.has(path))
        return found

    def beside(self, path: bytes, number: bytes) -> set[bytes]:
        """What may lie at a path now, but for the version of one write, by its number."""
        slot = self.settled.get(path)
        found = {ABSENT} if slot is None else set(slot.live)
        found.update(w.leaves.get(path, ABSENT) for w in self.writes if w.number != number and w.has(path))
        return found

    def fresh(self, seen: Mapping[bytes, bytes], since: int) -> bool:
        """Whether a whole record that was read may be the newest: nothing at any path that went before `since`."""
        paths = {*seen, *self.paths()}
        return all(seen.get(p, ABSENT) in self.allowed(p, since) for p in paths if p[0] != ENTRY and p != ALL)

    def paths_of(self, write: Write, seen: Iterable[bytes]) -> set[bytes]:
        """Every path that a write covers of those that anybody knows of."""
        known = {*self.paths(), *seen}
        return {path for path in known if any(c.has(path) for c in write.covers)}


# -- bytes -------------------------------------------------------------------------------------------------------------


def parse(text: bytes) -> Log:
    """Read a log; nothing at all is an empty one.

    Raises:
        Unavailable: it is none.
    """
    if not text:
        return Log({}, [])
    try:
        version, count = _HEAD.unpack_from(text)
        if version != VERSION:
            raise ValueError
        at, settled = _HEAD.size, {}
        for _ in range(count):
            at, path, slot = _slot(text, at)
            settled[path] = slot
        if at > len(text):
            raise ValueError
        writes = []
        while at < len(text):
            (size,) = struct.unpack_from(">I", text, at)
            writes.append(_write(text[at + 4 : at + 4 + size], size))
            at += 4 + size
    except (struct.error, ValueError, IndexError):
        raise Unavailable("the memory of what is newest holds what was not written by us") from None
    return Log(settled, writes)


def _slot(text: bytes, at: int) -> tuple[int, bytes, Slot]:
    length, live, past = _SLOT.unpack_from(text, at)
    at += _SLOT.size
    path, at = text[at : at + length], at + length
    slot = Slot([text[at + i * STAMP_BYTES : at + (i + 1) * STAMP_BYTES] for i in range(live)])
    at += live * STAMP_BYTES
    for _ in range(past):
        stamp, when = text[at : at + STAMP_BYTES], text[at + STAMP_BYTES : at + STAMP_BYTES + 6]
        slot.past.append((stamp, int.from_bytes(when, "big")))
        at += STAMP_BYTES + 6
    return at, path, slot


def _write(text: bytes, size: int) -> Write:
    state, number, began = struct.unpack_from(">B4s6s", text)
    covers, holes, leaves = _COUNTS.unpack_from(text, 11)
    at, listed = 11 + _COUNTS.size, list[Cover]()
    for _ in range(covers + holes):
        exact, length = text[at], text[at + 1]
        listed.append(Cover(text[at + 2 : at + 2 + length], bool(exact)))
        at += 2 + length
    held: dict[bytes, bytes] = {}
    for _ in range(leaves):
        length = text[at]
        path, at = text[at + 1 : at + 1 + length], at + 1 + length
        held[path], at = text[at : at + STAMP_BYTES], at + STAMP_BYTES
    if at != size or len(text) != size:
        raise ValueError
    began_ms = int.from_bytes(began, "big")
    return Write(number, began_ms, state == _ENDED, listed[:covers], held, listed[covers:])


def body(covers: Iterable[Cover], leaves: Mapping[bytes, bytes], holes: Iterable[Cover] = ()) -> bytes:
    """The bytes of a write after its state, number and time."""
    covers, holes = list(covers), list(holes)
    parts = [_COUNTS.pack(len(covers), len(holes), len(leaves))]
    parts += [bytes((each.exact, len(each.path))) + each.path for each in (*covers, *holes)]
    parts += [bytes((len(path),)) + path + stamp for path, stamp in leaves.items()]
    return b"".join(parts)


def _packed(write: Write) -> bytes:
    inner = body(write.covers, write.leaves, write.holes)
    state, began = _ENDED if write.ended else _PENDING, write.began.to_bytes(6, "big")
    return _WRITE.pack(11 + len(inner), state, write.number, began) + inner


def pack(log: Log) -> bytes:
    """The bytes of a log; none for one that knows of nothing."""
    if not log.settled and not log.writes:
        return b""
    parts = [_HEAD.pack(VERSION, len(log.settled))]
    for path, slot in sorted(log.settled.items(), key=_whole_first):
        parts += [_SLOT.pack(len(path), len(slot.live), len(slot.past)), path, *slot.live]
        parts += [stamp + went.to_bytes(6, "big") for stamp, went in slot.past]
    return b"".join([*parts, *map(_packed, log.writes)])


def _whole_first(pair: tuple[bytes, Slot]) -> bool:
    return pair[0] != ALL


def is_whole(text: bytes, stamp: bytes) -> bool:
    """Whether a log says that this is all of the record as it was written last; without reading it."""
    return text[:1] == b"\x01" and text[5:7] == b"\x01\x01" and text[8:9] == ALL and text[9:17] == stamp


def settled(leaves: Mapping[bytes, bytes]) -> bytes:
    """The log of a record of which this and nothing else is there."""
    return pack(Log({path: Slot([stamp]) for path, stamp in leaves.items()}, []))


# -- writes ------------------------------------------------------------------------------------------------------------


def ended_by(text: bytes, now: int) -> frozenset[bytes]:
    """The numbers of writes that had ended in a log as it was when another began."""
    return frozenset(write.number for write in parse(text).writes if write.over(now))


def committed(
    text: bytes, number: bytes, ended: frozenset[bytes], now: int, seen: Mapping[bytes, bytes] | None = None
) -> bytes:
    """The log after a write was acknowledged.

    Args:
        number: the write's.
        ended: `ended_by` of the log as it was when the write began.
        seen: what was read of the record afterwards, where the database decided whether, and of what, the write was
            applied; None where it was applied for certain.
    """
    log = parse(text)
    mine = next((write for write in log.writes if write.number == number), None)
    if mine is None:  # its end was not waited for
        return text
    is_new = not log.settled and len(log.writes) == 1
    if seen is not None:
        _keep_applied(log, mine, seen, now)
    for path in log.paths_of(mine, mine.leaves):
        _supersede(log, mine, path, ended, now)
    for other in log.writes:
        if other.number in ended:
            other.holes = list(dict.fromkeys((*other.holes, *mine.covers)))
    log.writes = [w for w in log.writes if w.number not in ended or not all(_within(c, mine) for c in w.covers)]
    mine.ended = True
    if is_new:  # nobody can have read the record without what was written now
        for slot in log.settled.values():
            slot.past.clear()
    if all(write.over(now) for write in log.writes):
        _merge(log)
    _forget(log, now)
    return pack(log)


def withdrawn(text: bytes, number: bytes) -> bytes:
    """The log without a write that was not sent."""
    log = parse(text)
    log.writes = [write for write in log.writes if write.number != number]
    return pack(log)


def _within(cover: Cover, write: Write) -> bool:
    """Whether a write covers all that a cover does, so that nothing is left of what that was of."""
    return any(cover == each or (not each.exact and cover.path.startswith(each.path)) for each in write.covers)


def _keep_applied(log: Log, mine: Write, seen: Mapping[bytes, bytes], now: int) -> None:
    """Reduce a write to the paths at which its version is what is there."""
    applied = [ALL]  # what it was of cannot be told: it stays only where it is what there is now
    if mine.leaves.get(ALL) != seen.get(ALL):
        mine.leaves.pop(ALL, None)
    for path in log.paths_of(mine, seen) - {ALL}:
        if seen.get(path, ABSENT) == mine.leaves.get(path, ABSENT):
            applied.append(path)
        elif path in mine.leaves:
            slot = log.settled.setdefault(path, Slot([ABSENT]))
            slot.past.append((mine.leaves.pop(path), now))
    mine.covers, mine.holes = [Cover(path, exact=True) for path in applied], []


def _supersede(log: Log, mine: Write, path: bytes, ended: frozenset[bytes], now: int) -> None:
    """Let go of what stood at a path before a write."""
    if not any(c.has(path) for c in mine.covers):
        return
    newest, slot = mine.leaves.get(path, ABSENT), log.settled.get(path)
    if slot is None:
        slot = log.settled[path] = Slot([ABSENT])
    gone = [stamp for stamp in slot.live if stamp != newest]
    gone += [w.leaves.get(path, ABSENT) for w in log.writes if w.number in ended and w.has(path)]
    slot.live = [stamp for stamp in slot.live if stamp == newest]
    slot.past += [(stamp, now) for stamp in dict.fromkeys(gone) if stamp != newest]


def _merge(log: Log) -> None:
    """Settle all writes: none is under way."""
    for path in log.paths():
        slot = log.settled.get(path)
        live = [ABSENT] if slot is None else slot.live
        live = [*live, *(write.leaves.get(path, ABSENT) for write in log.writes if write.has(path))]
        log.settled[path] = Slot(list(dict.fromkeys(live)), [] if slot is None else slot.past)
    log.writes = []


def _forget(log: Log, now: int) -> None:
    """Leave out what went long ago, and paths at which nothing is."""
    for path, slot in list(log.settled.items()):
        slot.past = [(stamp, went) for stamp, went in slot.past if now - went < KEEP_MS]
        if slot.live == [ABSENT] and not slot.past:
            del log.settled[path]


def tidied(text: bytes, now: int) -> bytes:
    """The log without what went long ago; the same bytes where that is nothing."""
    log = parse(text)
    if log.writes and all(write.over(now) for write in log.writes):
        _merge(log)
    _forget(log, now)
    return pack(log)


def is_untidy(text: bytes) -> bool:
    """Whether a log holds what went."""
    return any(slot.past for slot in parse(text).settled.values())


def is_of_one(text: bytes) -> bool:
    """Whether a log is of a record that may be there: not of one of which all went."""
    log = parse(text)
    live = {stamp for slot in log.settled.values() for stamp in slot.live}
    return bool(live - {ABSENT}) or any(write.leaves for write in log.writes)
