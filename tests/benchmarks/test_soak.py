"""A short soak: no call fails, and memory levels off. `python -m benchmarks soak` takes half an hour."""

from pathlib import Path

import pytest

from benchmarks.soak import Soak, soak


def test_growth_is_told_after_warming_up() -> None:
    assert Soak(memory=[100.0] * 4 + [200.0] * 8).growth == 0.0
    assert Soak(memory=[100.0] * 4 + [200.0] * 2 + [210.0] * 4 + [300.0] * 2).growth == pytest.approx(0.5)


@pytest.mark.slow
def test_a_short_soak(tmp_path: Path) -> None:
    seen = soak(30, tmp_path, workers=1)
    assert not seen.failures
    assert min(seen.calls.values()) >= 3
    # So short a time does not prove that nothing leaks; it finds what leaks with every call.
    assert seen.growth < 0.25, seen.memory
