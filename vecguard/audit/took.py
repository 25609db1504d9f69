"""How long a run took."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Took:
    """Seconds by the clock, and seconds of CPU: those of processes that the run started and ended among them."""

    clock: float
    cpu: float


def watch() -> Callable[[], Took]:
    """What tells how long it is since now."""
    clock, cpu = time.perf_counter(), _cpu()
    return lambda: Took(round(time.perf_counter() - clock, 1), round(_cpu() - cpu, 1))


def _cpu() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
