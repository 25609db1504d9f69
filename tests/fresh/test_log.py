"""A record's log against a model: no order of overlapping writes and reads is taken for a rollback, and each part that
a later write superseded is told once nothing overlaps it any more."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from vecguard.errors import Unavailable
from vecguard.fresh import log
from vecguard.fresh.log import WHOLE, Change, Cover
from vecguard.fresh.stamps import ABSENT

PATHS = [b"r", b"pa", b"pab", b"pc"]
CHANGES: list[tuple[tuple[Cover, ...], list[bytes]]] = [
    ((WHOLE,), [b"r", b"pa"]),
    ((WHOLE,), [b"r", b"pc"]),
    ((WHOLE,), []),
    ((Cover(b"p"),), [b"pa", b"pc"]),
    ((Cover(b"pa"),), [b"pab"]),
    ((Cover(b"pc"),), [b"pc"]),
    ((Cover(b"pc"),), []),
    ((Cover(b"pa", exact=True), Cover(b"pab")), [b"pab"]),
]


def stamp(number: int) -> bytes:
    return number.to_bytes(8, "big")


def begin(text: bytes, number: int, change: Change, now: int) -> bytes:
    """As the memory's own script does."""
    inner = log.body(change.covers, change.leaves)
    head = (11 + len(inner)).to_bytes(4, "big") + b"\0" + number.to_bytes(4, "big") + now.to_bytes(6, "big")
    return (text or log.EMPTY) + head + inner


def content(state: dict[bytes, bytes]) -> bytes:
    """A stamp of all that there is."""
    return hashlib.blake2b(repr(sorted(state.items())).encode(), digest_size=8).digest()


def applied(state: dict[bytes, bytes], change: Change) -> dict[bytes, bytes]:
    kept = {path: held for path, held in state.items() if not any(c.has(path) for c in change.covers)}
    return {**kept, **change.leaves}


@dataclass
class Model:
    """The database's record, its log, and what is under way."""

    random: random.Random
    state: dict[bytes, bytes] = field(default_factory=dict)
    text: bytes = b""
    now: int = 1_000_000_000
    writes: dict[int, tuple[Change, frozenset[bytes], bool, bool]] = field(default_factory=dict)
    reads: dict[int, tuple[int, dict[bytes, bytes] | None]] = field(default_factory=dict)
    states: list[dict[bytes, bytes]] = field(default_factory=list)
    made: int = 0

    def step(self) -> None:
        self.now += self.random.choice([0, 1, 50, 3_000])
        act = self.random.choice(
            [self.begin, self.apply, self.apply, self.end, self.end, self.look, self.see, self.judge]
        )
        act()
        held = log.parse(self.text)
        for state in self.states[-30:]:  # what is known at a glance is what a longer look finds
            if log.is_whole(self.text, content(state)):
                assert held.fresh(state, self.now)

    def number(self) -> int:
        self.made += 1
        return self.made

    def begin(self) -> None:
        if len(self.writes) < 3:
            number = self.number()
            covers, leaves = self.random.choice(CHANGES)
            # Now and then a content comes back, as searchable fields and vectors do.
            made = {path: stamp(self.random.choice([number, 1 << 40])) for path in leaves}
            change = Change((*covers, Cover(log.ALL, exact=True)), made)
            if covers == (WHOLE,) and leaves:
                change = Change(covers, {log.ALL: content(made), **made})
            ended = log.ended_by(self.text, self.now)
            self.text = begin(self.text, number, change, self.now)
            self.writes[number] = change, ended, False, self.random.random() < 0.2

    def pick(self, which: Callable[[int], bool]) -> int | None:
        found = [number for number in self.writes if which(number)]
        return self.random.choice(found) if found else None

    def apply(self) -> None:
        number = self.pick(lambda one: not self.writes[one][2])
        if number is not None:
            change, ended, _, decided = self.writes[number]
            if not decided or self.random.random() < 0.5:  # a filter may say that it is not applied
                self.state = applied(self.state, change)
                self.state.pop(log.ALL, None)
                self.states.append(self.state)
            self.writes[number] = change, ended, True, decided

    def end(self) -> None:
        number = self.pick(lambda one: self.writes[one][2])
        if number is not None:
            _, ended, _, decided = self.writes.pop(number)
            seen = {**self.state, log.ALL: content(self.state)} if decided else None
            self.text = log.committed(self.text, number.to_bytes(4, "big"), ended, self.now, seen)

    def look(self) -> None:
        self.reads[self.number()] = self.now, None

    def see(self) -> None:
        waiting = [number for number, (_, seen) in self.reads.items() if seen is None]
        if waiting:
            number = self.random.choice(waiting)
            self.reads[number] = self.reads[number][0], dict(self.state)

    def judge(self) -> None:
        ready = [number for number, (_, seen) in self.reads.items() if seen is not None]
        if ready:
            began, seen = self.reads.pop(self.random.choice(ready))
            assert seen is not None
            if self.now - began < log.KEEP_MS and b"r" in seen:  # what is not there is in no answer
                assert log.parse(self.text).fresh(seen, began), (seen, log.parse(self.text))

    def settle(self) -> None:
        while self.writes:
            self.apply()
            self.end()
        self.now += 10


@pytest.mark.parametrize("seed", range(300))
def test_no_order_of_writes_and_reads_is_a_rollback(seed: int) -> None:
    model = Model(random.Random(seed))
    for _ in range(400):
        model.step()


@pytest.mark.parametrize("seed", range(200))
def test_what_was_superseded_is_told(seed: int) -> None:
    """Writes one after the other: every earlier state is told from the last, unless it is the same."""
    draw, state, text, now = random.Random(seed), dict[bytes, bytes](), b"", 1_000_000_000
    states = [state]
    for number in range(1, 12):
        covers, leaves = draw.choice(CHANGES)
        change = Change(covers, {path: stamp(number) for path in leaves})
        ended = log.ended_by(text, now)
        text = log.committed(begin(text, number, change, now), number.to_bytes(4, "big"), ended, now)
        state = applied(state, change)
        states.append(state)
        now += 5_000
        held = log.parse(text)
        assert [held.fresh(old, now) for old in states] == [old == state for old in states]
        for old in states:  # parts of two times
            mixed = {path: draw.choice([old, state]).get(path, ABSENT) for path in PATHS}
            mixed = {path: one for path, one in mixed.items() if one != ABSENT}
            assert held.fresh(mixed, now) == (mixed == state)
    assert not log.parse(text).writes


def test_overlapping_writes_stand_beside_each_other_until_a_later_one_ends() -> None:
    now, text = 1_000_000, b""
    one, two, three = (Change((WHOLE,), {b"r": stamp(number)}) for number in (1, 2, 3))
    first, text = log.ended_by(text, now), begin(text, 1, one, now)
    second, text = log.ended_by(text, now), begin(text, 2, two, now)
    text = log.committed(text, b"\0\0\0\1", first, now)
    text = log.committed(text, b"\0\0\0\2", second, now)
    later = now + 10_000
    assert [log.parse(text).fresh({b"r": stamp(n)}, later) for n in (1, 2, 3)] == [True, True, False]
    assert not log.parse(text).fresh({}, later)
    third, text = log.ended_by(text, later), begin(text, 3, three, later)
    assert all(log.parse(text).fresh({b"r": stamp(n)}, later) for n in (1, 2, 3))
    text = log.committed(text, b"\0\0\0\3", third, later)
    assert [log.parse(text).fresh({b"r": stamp(n)}, later + 1) for n in (1, 2, 3)] == [False, False, True]
    assert log.parse(text).fresh({b"r": stamp(1)}, later)  # for a read that began before


def test_a_write_that_nobody_ended_stays_until_a_later_one_does() -> None:
    now = 1_000_000
    text = begin(log.settled({b"r": stamp(1)}), 2, Change((WHOLE,), {b"r": stamp(2)}), now)
    soon, late = now + 1_000, now + log.LOST_MS
    ended = log.ended_by(text, soon)
    overlapping = log.committed(begin(text, 3, Change((WHOLE,), {b"r": stamp(3)}), soon), b"\0\0\0\3", ended, soon)
    assert [log.parse(overlapping).fresh({b"r": stamp(n)}, late) for n in (1, 2, 3)] == [False, True, True]
    ended = log.ended_by(text, late)
    after = log.committed(begin(text, 3, Change((WHOLE,), {b"r": stamp(3)}), late), b"\0\0\0\3", ended, late)
    assert [log.parse(after).fresh({b"r": stamp(n)}, late + 1) for n in (1, 2, 3)] == [False, False, True]
    assert not log.parse(after).writes


def test_what_a_filter_left_alone_is_not_superseded() -> None:
    now, old = 1_000_000, {b"r": stamp(1), b"pa": stamp(1)}
    change = Change((Cover(b"pa"), Cover(b"pc")), {b"pa": stamp(2), b"pc": stamp(2)})
    text = begin(log.settled(old), 2, change, now)
    left = log.committed(text, b"\0\0\0\2", frozenset(), now, seen=old)
    assert log.parse(left).fresh(old, now + 1)
    assert not log.parse(left).fresh({b"r": stamp(1), b"pa": stamp(2), b"pc": stamp(2)}, now + 1)
    done = {b"r": stamp(1), b"pa": stamp(2), b"pc": stamp(2)}
    taken = log.committed(text, b"\0\0\0\2", frozenset(), now, seen=done)
    assert log.parse(taken).fresh(done, now + 1)
    assert not log.parse(taken).fresh(old, now + 1)


def test_what_went_is_forgotten_after_a_while_and_so_is_a_record_that_was_deleted() -> None:
    now = 1_000_000
    text = begin(log.settled({b"r": stamp(1)}), 2, Change((WHOLE,), {}), now)
    text = log.committed(text, b"\0\0\0\2", frozenset(), now)
    assert log.parse(text).fresh({b"r": stamp(1)}, now)
    assert not log.parse(text).fresh({b"r": stamp(1)}, now + 1)
    assert log.tidied(text, now + log.KEEP_MS) == b""
    assert log.tidied(text, now + 1) == text


@pytest.mark.parametrize("damage", [lambda t: t[:-1], lambda t: t + b"\0", lambda t: b"\2" + t[1:], lambda t: t[:3]])
def test_what_is_no_log_is_refused(damage: Callable[[bytes], bytes]) -> None:
    text = begin(log.settled({b"r": stamp(1)}), 2, Change((WHOLE,), {b"r": stamp(2)}), 1)
    log.parse(text)
    with pytest.raises(Unavailable):
        log.parse(damage(text))


def test_all_at_once_is_known_until_anything_is_written() -> None:
    now, whole = 1_000_000, {log.ALL: stamp(9), b"r": stamp(1), b"pa": stamp(1)}
    text = log.settled({b"r": stamp(1), **whole})
    assert log.is_whole(text, stamp(9))
    assert not any(log.is_whole(other, stamp(9)) for other in (b"", log.EMPTY, log.settled({b"r": stamp(9)})))
    assert not log.is_whole(text, stamp(8))
    change = Change((Cover(log.ALL, exact=True), Cover(b"pa")), {b"pa": stamp(2)})
    begun = begin(text, 2, change, now)
    assert log.is_whole(begun, stamp(9))  # until it ends, what was there may be there
    assert not log.is_whole(log.committed(begun, b"\0\0\0\2", frozenset(), now), stamp(9))
    again = begin(text, 3, Change((WHOLE,), {**whole, log.ALL: stamp(10)}), now)
    assert log.is_whole(log.committed(again, b"\0\0\0\3", frozenset(), now), stamp(10))
