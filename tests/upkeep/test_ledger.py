"""A ledger: the one of the specification is read and written, and no other file is taken for one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from shields import manifest_of

from vecguard.errors import ConfigError, FailedPrecondition
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.upkeep import ledger
from vecguard.upkeep.ledger import Digester, Ledger

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "ledger.json").read_text())
KEY = Key(bytes.fromhex(KNOWN["data_key"]))
DIGESTER = Digester(manifest_of(), KeyRing({3: KEY}, 3))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "ledger"
    path.write_text(KNOWN["text"], encoding="utf-8")
    return path


def test_known_digests() -> None:
    for key, content, digest in KNOWN["records"]:
        assert DIGESTER.digest(key, bytes.fromhex(content)) == digest


def test_the_known_ledger_is_read_and_written_again(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = json.loads(KNOWN["text"].split("\n")[0])["taken"]
    monkeypatch.setattr(ledger, "_now", lambda: taken)
    read = Ledger.load(file, DIGESTER)
    for key, content, _ in KNOWN["records"]:
        read.record(key, bytes.fromhex(content))
    assert read.finish().none
    read.save(file)
    assert file.read_text(encoding="utf-8") == KNOWN["text"]


def test_what_became_of_records_is_told(file: Path) -> None:
    read = Ledger.load(file, DIGESTER)
    read.record("7", b"")  # not its content before the last either: that digest was of another id
    read.record("8", b"new")
    changes = read.finish()
    assert (changes.changed, changes.added, changes.removed, changes.returned) == (["7"], ["8"], ["größe"], [])


def damaged(text: str) -> Iterator[str]:
    yield from (text[:length] for length in range(1, len(text) - 1))
    yield from (text[:at] + chr(ord(text[at]) ^ 1) + text[at + 1 :] for at in range(len(text) - 1))
    head, first, second, tag, _ = text.split("\n")
    yield "\n".join([head, second, first, tag, ""])
    yield "\n".join([head, first, tag, ""])


def test_every_damaged_ledger_is_refused(file: Path) -> None:
    for text in damaged(KNOWN["text"]):
        file.write_text(text, encoding="utf-8")
        with pytest.raises((ConfigError, FailedPrecondition)):
            Ledger.load(file, DIGESTER)


def test_a_ledger_of_another_key_or_epoch_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError):
        Ledger.load(file, Digester(manifest_of(), KeyRing({3: Key(bytes(32))}, 3)))
    with pytest.raises(FailedPrecondition, match="rotated"):
        Ledger.load(file, Digester(manifest_of(), KeyRing({3: KEY, 4: KEY}, 4)))
