"""Programs that watch: health probes and dashboards."""

from __future__ import annotations

from benchmarks.detection.benign.user import DAY_S, User
from benchmarks.detection.target import Want


def health_probe(user: User) -> None:
    """The same question every few minutes, the whole day, and a count."""
    vector = user.world.questions.vectors[user.question()]
    while user.clock.now % DAY_S < DAY_S - 600:
        user.target.search(vector, Want(limit=1, payload=False))
        user.target.count()
        user.clock.now += 300.0


def dashboard(user: User) -> None:
    """Counts, and the first page of records, every quarter of an hour of an office day."""
    user.clock.now += 8 * 3_600
    for _ in range(36):
        user.target.count()
        user.target.scroll(0, Want(limit=20))
        user.wait(900)
