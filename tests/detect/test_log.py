"""Observations on disk: a documented format, bounded files, and damage that is told from a cut-off end."""

import json
from pathlib import Path

import numpy as np
import pytest

from detect.observations import observed, sketches
from vecguard.detect.log import MAGIC, LogWriter, pack, read_log, unpack
from vecguard.detect.observation import Observation
from vecguard.errors import ConfigError

KNOWN = json.loads((Path(__file__).parents[1] / "vectors" / "observations.json").read_text())
WHOLE = observed(
    time=1_700_000_000.25,
    principal="café",
    queries=sketches(0.5, -0.25),
    ids=[1, 2**64 - 1],
    query_of=np.array([0, -1], np.int32),
    scores=np.array([0.75, np.nan], np.float32),
    vectors=sketches(1.0),
    vector_ids=np.array([2**63], np.uint64),
    written=np.array([7], np.uint64),
    written_vectors=sketches(0.125),
    left=frozenset({"scores", "vectors"}),
    limit=10,
    offset=3,
    exact=True,
    filter_shape=2**64 - 1,
    filter_ids=4,
    records=5_000,
    canaries=np.array([5, 511], np.uint16),
    planted=64,
    request_id="abc",
)


def same(one: Observation, other: Observation) -> bool:
    return pack(one) == pack(other)


def writer(folder, worker=0, file_bytes=1 << 20, most_files=3):
    return LogWriter(folder, worker, file_bytes=file_bytes, most_files=most_files)


def test_the_known_observation_is_packed_and_read():
    assert pack(WHOLE).hex() == KNOWN["packed"]
    opened = unpack(bytes.fromhex(KNOWN["packed"]))
    assert same(opened, WHOLE)
    assert opened.ids.dtype == np.uint64
    assert opened.queries.shape == (2, 32)
    assert (opened.left, opened.filter_shape, opened.principal) == (WHOLE.left, 2**64 - 1, "café")
    assert np.isnan(opened.scores[1])


@pytest.mark.parametrize("damage", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"\0" * 8 + d[8:], lambda d: b""])
def test_what_is_no_observation_is_refused(damage):
    with pytest.raises(ValueError, match=r"head|arrays"):
        unpack(damage(pack(WHOLE)))


def test_what_workers_write_is_read_in_the_order_of_time(tmp_path):
    first, second = writer(tmp_path / "log", 0), writer(tmp_path / "log", 1)
    first.write([observed(time=1.0), observed(time=3.0)])
    second.write([observed(time=2.0), observed(time=4.0)])
    first.close()
    second.close()
    assert [one.time for one in read_log(tmp_path / "log")] == [1.0, 2.0, 3.0, 4.0]
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "log").iterdir())


def test_files_are_bounded_in_size_and_number(tmp_path):
    log = writer(tmp_path, file_bytes=100, most_files=2)
    for i in range(6):
        log.write([observed(time=float(i))])
    log.close()
    assert len(list(tmp_path.iterdir())) == 2
    assert [one.time for one in read_log(tmp_path)] == [4.0, 5.0]


def test_a_frame_that_was_cut_off_is_left_out_and_a_damaged_one_is_an_error(tmp_path):
    log = writer(tmp_path)
    log.write([observed(time=1.0), observed(time=2.0)])
    log.close()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    assert whole.startswith(MAGIC)
    file.write_bytes(whole[:-1])
    assert [one.time for one in read_log(file)] == [1.0]
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ConfigError, match="is damaged at byte"):
        list(read_log(file))
    file.write_bytes(b"something else")
    with pytest.raises(ConfigError, match="is no log of observations"):
        list(read_log(file))


def test_places_without_a_log_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="holds no recorded observations"):
        read_log(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read_log(tmp_path / "absent"))
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        writer(tmp_path / "file")


def test_a_disk_that_is_full_costs_what_was_not_written_and_no_more(tmp_path, monkeypatch):
    log = writer(tmp_path)
    log.write([observed(time=1.0)])
    import os

    written = os.write
    monkeypatch.setattr("vecguard.detect.log.os.write", lambda file, data: written(file, data[:10]))
    with pytest.raises(OSError, match="No space left"):
        log.write([observed(time=2.0)])
    monkeypatch.undo()
    log.write([observed(time=3.0)])
    log.close()
    assert [one.time for one in read_log(tmp_path)] == [1.0, 3.0]
