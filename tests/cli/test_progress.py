"""Progress that a log can hold."""

from __future__ import annotations

import io

from vecguard.cli.progress import EVERY, LogLines


def test_a_log_has_a_line_a_stage_and_one_now_and_then_of_a_long_stage() -> None:
    now, log = [100.0], io.StringIO()
    tell = LogLines(log, lambda: now[0])
    for done in range(10):
        tell("embedding", done, 10)
        now[0] += EVERY / 4
    tell("attacks", 0, 3)
    lines = log.getvalue().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == [
        "embedding, 0 of 10",
        "embedding, 4 of 10",
        "embedding, 8 of 10",
        "attacks, 0 of 3",
    ]
    assert lines[-1].split()[0] == "1:15"
