"""A journal proves what it says it proves: each kind of change is found, by whoever has the key."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from vecguard.errors import ConfigError, Unreadable
from vecguard.journal.chain import CONTEXT, Chain, file_key, read_line
from vecguard.journal.verify import checkpoints_of, missing, verify
from vecguard.journal.writer import CHECKPOINT_S, Journal

KEY = bytes(range(32))
WRAPPED = b"wrapped key"


def unwrap(wrapped, context):
    if (wrapped, context) != (WRAPPED, CONTEXT):
        raise Unreadable
    return KEY


def journal(folder, worker=0, file_bytes=1 << 20, **ways):
    return Journal(folder, worker, KEY, WRAPPED, file_bytes=file_bytes, **ways)


def events(number, start=0):
    return [json.dumps({"event": "call", "n": start + i}).encode() + b"\n" for i in range(number)]


def written(folder, number=20, **ways):
    """The one file of a journal with that many events, closed."""
    book = journal(folder, **ways)
    book.write(events(number))
    book.close()
    return sorted(folder.iterdir())


def faults(*files, checkpoints=()):
    return [fault for report in verify(files, unwrap, checkpoints) for fault in report.faults]


def test_known_answer():
    known = json.loads((Path(__file__).parents[1] / "vectors" / "trail.json").read_text())
    chain = Chain(file_key(bytes.fromhex(known["key"]), bytes.fromhex(known["id"])))
    assert [chain.line(event.encode()).decode() for event in known["events"]] == known["lines"]


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b'{"seq":01,"mac":"' + b"0" * 64 + b'","event":{}}', b'{"seq":1,"mac":"0","event":{}}', b"\xff" * 100],
)
def test_what_is_no_line_is_none(text):
    assert read_line(text) is None


def test_a_journal_as_it_was_written_is_whole(tmp_path):
    (file,) = written(tmp_path)
    (report,) = verify([file], unwrap)
    assert (report.faults, report.lines, report.closed, report.lost) == ([], 22, True, 0)
    assert report.first <= report.last
    calls = [json.loads(line)["event"] for line in file.read_bytes().splitlines()][1:-1]
    assert [call["n"] for call in calls] == list(range(20))
    assert file.stat().st_mode & 0o077 == 0


def change(file, how):
    lines = file.read_bytes().splitlines(keepends=True)
    how(lines)
    file.write_bytes(b"".join(lines))


@pytest.mark.parametrize(
    ("how", "line", "says"),
    [
        (lambda lines: lines.__setitem__(5, lines[5].replace(b'"n": 4', b'"n": 5')), 5, "does not authenticate"),
        (lambda lines: lines.__setitem__(5, lines[5].replace(b'"seq":5', b'"seq":6')), 5, "has the number 6"),
        (lambda lines: lines.pop(5), 5, "has the number 6"),
        (lambda lines: lines.insert(5, lines[5]), 6, "has the number 5"),
        (lambda lines: lines.reverse(), 0, "not the opening"),
        (lambda lines: lines.__setitem__(slice(5, 7), lines[5:7][::-1]), 5, "has the number 6"),
        (lambda lines: lines.__setitem__(5, b"{}\n"), 5, "not a line"),
        (lambda lines: lines.__setitem__(-1, lines[-1][:-9]), 21, "cut off"),
        (
            lambda lines: lines.__setitem__(0, lines[0].replace(b'"worker":0', b'"worker":1')),
            0,
            "does not authenticate",
        ),
        (lambda lines: lines.clear(), 0, "not the opening"),
        (lambda lines: lines.pop(0), 0, "not the opening"),
    ],
)
def test_every_change_is_found_and_placed(tmp_path, how, line, says):
    (file,) = written(tmp_path)
    change(file, how)
    (fault,) = faults(file)
    assert fault.startswith(f"line {line}:")
    assert says in fault


def test_every_single_byte_counts(tmp_path):
    (file,) = written(tmp_path, 3)
    whole = file.read_bytes()
    for i in range(len(whole)):
        file.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
        assert faults(file), i


def test_without_its_key_nobody_writes_a_line(tmp_path):
    (file,) = written(tmp_path)
    forger = Chain(file_key(bytes(32), bytes(16)))
    change(file, lambda lines: lines.__setitem__(slice(1, None), [forger.line(event.rstrip()) for event in events(20)]))
    assert faults(file)
    change(file, lambda lines: lines.__setitem__(0, lines[0].replace(base64.b64encode(WRAPPED), b"d3Jvbmc=")))
    assert "its key does not open" in faults(file)[0]


def test_an_end_that_was_cut_off_is_told_of_by_a_checkpoint(tmp_path):
    (file,) = written(tmp_path)
    place = verify([file], unwrap)[0]
    change(file, lambda lines: lines.__delitem__(slice(10, None)))
    assert faults(file) == []  # nothing in the file itself can tell
    log = tmp_path / "log"
    told = {"event": "trail checkpoint", "file": file.name, "seq": 21, "mac": place.places[21]}
    log.write_text(f"not json\n{json.dumps({'event': 'trail checkpoint'})}\n{json.dumps(told)}\n")
    checkpoints = list(checkpoints_of(log))
    assert len(checkpoints) == 1
    assert "cut off" in faults(file, checkpoints=checkpoints)[0]


def test_a_journal_that_was_written_anew_with_the_key_is_told_of_by_a_checkpoint(tmp_path):
    with capture_logs() as logs:
        (file,) = written(tmp_path / "a")
    (other,) = written(tmp_path / "b")
    other.rename(file)
    assert faults(file) == []
    log = tmp_path / "log"
    log.write_text("".join(json.dumps(line) + "\n" for line in logs))
    assert "written anew" in faults(file, checkpoints=list(checkpoints_of(log)))[-1]


def test_checkpoints_come_with_time(tmp_path):
    now = [0.0]
    with capture_logs() as logs:
        book = journal(tmp_path, clock=lambda: now[0])
        book.write(events(2))
        now[0] = CHECKPOINT_S
        book.write(events(2))
    assert [log["seq"] for log in logs if log["event"] == "trail checkpoint"] == [0, 4]


def test_files_are_rotated_and_name_the_one_before(tmp_path):
    files = written(tmp_path, 200, file_bytes=2_000)
    reports = verify(files, unwrap)
    assert len(files) > 5
    assert not any(report.faults for report in reports)
    assert all(report.closed for report in reports)
    assert missing(reports) == []
    assert sum(report.lines for report in reports) == 200 + 2 * len(files)
    befores = {report.after.file for report in reports if report.after}
    middle = next(tmp_path / report.file for report in reports if report.file in befores and report.after)
    others = [file for file in files if file != middle]
    assert missing(verify(others, unwrap)) == [middle.name]
    change(middle, lambda lines: lines.__delitem__(slice(-2, None)))
    assert "cut off" in faults(*files)[0]


def test_a_process_that_comes_after_another_names_its_last_line(tmp_path):
    killed = journal(tmp_path)
    killed.write(events(5))
    (first,) = tmp_path.iterdir()
    book = journal(tmp_path)
    book.close()
    (second,) = set(tmp_path.iterdir()) - {first}
    assert faults(first, second) == []
    assert verify([second], unwrap)[0].after.seq == 5
    assert journal(tmp_path, worker=1).place.seq == 0
    change(first, lambda lines: lines.pop())
    assert "cut off" in faults(first, second)[0]


def test_a_line_half_written_by_a_process_that_was_killed_is_found(tmp_path):
    book = journal(tmp_path)
    book.write(events(5))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    assert "cut off" in faults(file)[0]
    assert journal(tmp_path).place.seq == 0  # and does not stop the next from being written


FULL = """
import os, resource, sys
from pathlib import Path
from vecguard.journal.writer import Journal
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
now = [0.0]
book = Journal(Path(sys.argv[1]), 0, bytes(range(32)), b"wrapped key", file_bytes=1 << 30, clock=lambda: now[0])
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, resource.RLIM_INFINITY))
number = 0
for _ in range(int(sys.argv[2])):
    book.write([b'{"event":"call","n":%d}' % number]); number += 1; now[0] += 2
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
now[0] += 2
book.write([b'{"event":"call","n":%d}' % number])
book.close()
"""


def test_a_full_disk_loses_nothing_that_can_wait(tmp_path):
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path), "200"], check=True, capture_output=True)
    (file,) = tmp_path.iterdir()
    (report,) = verify([file], unwrap)
    assert (report.faults, report.lost, report.lines) == ([], 0, 203)


def test_what_had_to_be_given_up_is_counted_in_the_chain(tmp_path):
    subprocess.run([sys.executable, "-c", FULL, str(tmp_path), "20100"], check=True, capture_output=True)
    (file,) = tmp_path.iterdir()
    (report,) = verify([file], unwrap)
    assert report.faults == []
    assert report.lost > 50
    assert report.lines - 3 + report.lost == 20_101


def test_a_folder_that_cannot_be_written_is_an_error_of_the_settings(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="trail folder"):
        journal(tmp_path / "file")
    assert os.listdir(tmp_path) == ["file"]


RECORD = """
import resource, signal, sys
from pathlib import Path
from vecguard.errors import ConfigError
from vecguard.journal.writer import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
book = Journal(Path(sys.argv[1]), "operator", bytes(range(32)), b"wrapped key", file_bytes=1 << 30)
print(book.record(b'{"event":"told"}').seq)
resource.setrlimit(resource.RLIMIT_FSIZE, (book._file.size + 10, resource.RLIM_INFINITY))
try:
    book.record(b'{"event":"untold"}')
except ConfigError as fault:
    print(fault)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
book.close()
"""


def test_what_is_recorded_is_written_at_once_or_refused(tmp_path):
    done = subprocess.run([sys.executable, "-c", RECORD, str(tmp_path)], check=True, capture_output=True, text=True)
    assert "1\n" in done.stdout
    assert "cannot be written" in done.stdout
    (file,) = tmp_path.iterdir()
    assert file.name.startswith("trail-operator-")
    told = [json.loads(line)["event"]["event"] for line in file.read_text().splitlines()]
    assert (told, faults(file)) == (["journal opened", "told", "journal closed"], [])
