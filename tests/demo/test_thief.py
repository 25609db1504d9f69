"""Counting readable bytes: every copy is found, chance is not, and short values are left out."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from vecguard.demo.thief import CHUNK, WINDOW, Loot, database_files, readable_bytes, readable_payloads

SECRET = "Anna Keller has atrial fibrillation."
NOISE = random.Random(0).randbytes(200_000)


def test_a_whole_copy_counts_every_byte() -> None:
    assert readable_bytes([NOISE + SECRET.encode() + NOISE], [SECRET]) == len(SECRET)


def test_each_copy_in_each_file_counts() -> None:
    content = SECRET.encode() + b"\0" + SECRET.encode()
    assert readable_bytes([content, content], [SECRET]) == 4 * len(SECRET)


def test_a_fragment_counts_its_own_length() -> None:
    assert readable_bytes([NOISE + SECRET.encode()[5:25] + NOISE], [SECRET]) == 20


def test_less_than_a_window_is_not_counted() -> None:
    assert readable_bytes([NOISE + SECRET.encode()[: WINDOW - 1] + NOISE], [SECRET]) == 0


def test_ciphertext_is_not_readable() -> None:
    assert readable_bytes([NOISE], [SECRET, "another secret of some length"]) == 0


def test_a_copy_across_two_chunks_is_found() -> None:
    content = b"\1" * (CHUNK - 10) + SECRET.encode() + b"\1" * 100
    assert readable_bytes([content], [SECRET]) == len(SECRET)


def test_a_copy_behind_a_chunk_of_zeros_is_found() -> None:
    assert readable_bytes([b"\0" * CHUNK + SECRET.encode()], [SECRET]) == len(SECRET)


def test_unicode_is_counted_in_bytes() -> None:
    secret = "Überweisung für Zoë 漢字"
    assert readable_bytes([secret.encode()], [secret]) == len(secret.encode())


@pytest.mark.parametrize(("files", "secrets"), [([], [SECRET]), ([b""], [SECRET]), ([NOISE], []), ([NOISE], ["short"])])
def test_nothing_to_find(files: list[bytes], secrets: list[str]) -> None:
    assert readable_bytes(files, secrets) == 0


def test_every_file_below_the_folder_is_read(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "one").write_bytes(b"1")
    (tmp_path / "a" / "b" / "two").write_bytes(b"2")
    assert list(database_files(tmp_path)) == [b"2", b"1"]


def test_payloads_are_readable_only_where_a_text_stands_in_clear() -> None:
    payloads: tuple[dict[str, object], ...] = ({"text": SECRET}, {"text": "vg1.sealed"}, {"other": SECRET, "n": 3})
    loot = Loot((1, 2, 3), np.zeros((3, 2), dtype=np.float32), payloads)
    assert readable_payloads(loot, [SECRET]) == 2
    assert readable_payloads(loot, ["something else"]) == 0
