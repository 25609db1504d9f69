"""A short soak: no call fails, and memory levels off. `python -m benchmarks soak` takes half an hour."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from benchmarks.processes import Child
from benchmarks.soak import MOST_KIB_A_CALL, Soak, Trace, memory_table, soak

# Holds 64 MiB of its own and maps a file of 64 MiB; at a line of input it holds 32 MiB more.
HOLDER = """
import mmap, sys
own = [b"x" * 2**26]
file = open(sys.argv[1], "rb")
pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
sum(pages[::4096])
print("ready", flush=True)
sys.stdin.readline()
own.append(b"x" * 2**25)
print("ready", flush=True)
sys.stdin.readline()
"""


def traced(anonymous: list[float], calls: int = 10_000) -> Trace:
    return Trace(np.linspace(0, calls, len(anonymous)).astype(int).tolist(), anonymous, [50.0] * len(anonymous))


def test_what_fills_up_and_stays_full_does_not_grow() -> None:
    noise = np.random.default_rng(1).normal(scale=0.5, size=2_000)
    full = 80 + 20 * np.minimum(np.linspace(0, 5, 2_000), 1.0)
    assert abs(traced((full + noise).tolist()).kib_a_call) < MOST_KIB_A_CALL / 4
    step = np.where(np.arange(2_000) < 1_900, 100.0, 110.0)  # an arena more, once
    assert traced((step + noise).tolist()).kib_a_call < MOST_KIB_A_CALL


def test_what_a_call_leaves_behind_is_found() -> None:
    noise = np.random.default_rng(2).normal(scale=0.5, size=2_000)
    leak = np.linspace(0, 10_000, 2_000) * 0.5 / 1024
    trace = traced((100 + leak + noise).tolist())
    assert trace.kib_a_call == pytest.approx(0.5, rel=0.2)
    seen = Soak(memory={"vecguard.worker 0": trace, "vecguard.engine": traced([100.0] * 50)})
    assert list(seen.leaks) == ["vecguard.worker 0"]
    assert [list(memory_table(seen).columns[4].cells)[row].endswith("(grows)") for row in (0, 1)] == [True, False]


def test_too_few_samples_say_nothing() -> None:
    assert Trace([], [], []).kib_a_call == 0.0
    assert traced([100.0]).kib_a_call == 0.0
    assert Trace([7, 7, 7], [1.0, 2.0, 3.0], [0.0] * 3).kib_a_call == 0.0  # no call was made meanwhile


def test_a_process_own_memory_is_told_apart_from_pages_of_files(tmp_path: Path) -> None:
    file = tmp_path / "pages"
    file.write_bytes(b"x" * 2**26)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(file)], **pipes) as process:  # type: ignore[call-overload]
        child, seen = Child("holder", process, tmp_path / "log"), Soak()
        try:
            for _ in range(2):
                assert process.stdout.readline()
                seen.sample(child)
                process.stdin.write(b"\n")
                process.stdin.flush()
        finally:
            process.kill()
    (trace,) = seen.memory.values()
    assert 64 <= trace.anonymous[0] < 96
    assert 31 < trace.anonymous[1] - trace.anonymous[0] < 40
    assert trace.file[0] > 64
    assert abs(trace.file[1] - trace.file[0]) < 4


def test_what_was_seen_is_written_as_json() -> None:
    seen = Soak(Counter(write=2), Counter({"write: UNAVAILABLE": 1}), {"a": Trace([1], [100.0], [50.0])}, 12.5)
    assert json.loads(json.dumps(seen.document())) == {
        **{"calls": {"write": 2}, "failures": {"write: UNAVAILABLE": 1}, "seconds": 12.5, "kib_a_call": {"a": 0.0}},
        **{"memory": {"a": {"calls": [1], "anonymous": [100.0], "file": [50.0]}}},
    }


@pytest.mark.slow
def test_a_short_soak(tmp_path: Path) -> None:
    seen = soak(30, tmp_path, workers=2)
    assert not seen.failures
    assert min(seen.calls.values()) >= 3
    expected = {"vecguard serve", "vecguard.engine", "vecguard.worker 0", "vecguard.worker 1"}
    assert set(seen.memory) == expected
    # So short a time does not prove that nothing leaks (caches are still filling); it finds what keeps whole messages.
    for name, trace in seen.memory.items():
        warm = len(trace.anonymous) // 3
        assert trace.anonymous[-1] < 1.25 * trace.anonymous[warm], (name, trace)
