"""CPU time and memory of a process with its descendants."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.processes import Child, running

BUSY = "import time\nwhile time.process_time() < {seconds}: pass\n"


def _settled(child: Child, at_least: float, patience_s: float = 120) -> float:
    deadline = time.monotonic() + patience_s
    while child.cpu_seconds() < at_least and time.monotonic() < deadline:
        time.sleep(0.05)
    return child.cpu_seconds()


def test_work_of_grandchildren_counts_living_and_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "burner.py").write_text(
        "import subprocess, sys, time\n"
        f"busy = {BUSY.format(seconds=0.5)!r}\n"
        "subprocess.run([sys.executable, '-c', busy])\n"
        "subprocess.Popen([sys.executable, '-c', busy + 'time.sleep(60)'])\n"
        "time.sleep(60)\n"
    )
    with running("burner", ("burner",), tmp_path) as child:
        # A process that has ended is counted in whole ticks of the kernel's clock, of which one may be missing.
        assert _settled(child, at_least=0.9) >= 0.9
        assert child.memory_mib() > 5


def test_an_idle_process_uses_next_to_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "idler.py").write_text("import time\ntime.sleep(60)\n")
    with running("idler", ("idler",), tmp_path) as child:
        before = _settled(child, at_least=0.01, patience_s=2)
        time.sleep(0.5)
        assert child.cpu_seconds() - before <= 0.1
