"""What a worker tells the control plane: little, at once or not at all, and never more than so much a second."""

import asyncio
import tempfile
from pathlib import Path

from vecguard.telling import Telling, receive

CALL = {
    "rpc": "/a/B",
    "principal": "ada",
    "collections": ["notes"],
    "request_id": "r1",
    "status": "DATA_LOSS",
    "ms": 1.0,
}


def told(*steps, clock=lambda: 0.0):
    """What the control plane hears of the steps `tell(telling)`, with time to read after each."""

    async def run():
        heard = []
        with tempfile.TemporaryDirectory() as folder:
            transport = await receive(Path(folder) / "socket", heard.append)
            telling = Telling(Path(folder) / "socket", 3, clock)
            for tell in steps:
                tell(telling)
                for _ in range(50):  # one is read in each round of the loop
                    await asyncio.sleep(0.001)
            telling.close()
            transport.close()
        return heard

    return asyncio.run(run())


def test_integrity_failures_and_calls_of_the_blocked_are_told():
    (first, second) = told(lambda t: [t("call", cause=cause, **CALL) for cause in ("integrity", "blocked")])
    assert (first["alert"], second["alert"]) == ("INTEGRITY_FAILURE", "BLOCKED_CALL")
    assert (first["worker"], first["principal"], first["collections"]) == (3, "ada", ["notes"])
    assert "ms" not in first


def test_other_calls_are_not_told():
    assert told(lambda t: [t("call", **CALL), t("call", cause="policy", **CALL), t("start", cause="integrity")]) == []


def test_a_flood_is_bounded_and_counted():
    now = [0.0]

    def flood(telling):
        for _ in range(1_000):
            telling("call", cause="integrity", **CALL)

    def later(telling):
        now[0] = 1.0
        telling("call", cause="integrity", **CALL)

    heard = told(flood, later, clock=lambda: now[0])
    assert 2 <= len(heard) <= 21
    assert len(heard) + heard[-1]["suppressed"] == 1_001


def test_many_of_one_kind_do_not_hide_another():
    def flood(telling):
        for _ in range(1_000):
            telling("call", cause="blocked", **CALL)

    def another(telling):
        telling("detection", principal="eve", collection="notes", rung="alert", risk=0.9, reasons=[])

    heard = told(flood, another)
    assert [one["alert"] for one in heard[:-1]] == ["BLOCKED_CALL"] * (len(heard) - 1)
    assert (heard[-1]["alert"], heard[-1]["principal"], heard[-1]["suppressed"]) == ("DETECTION", "eve", 0)


def test_nobody_listening_is_no_error(tmp_path):
    telling = Telling(tmp_path / "nobody", 0)
    telling.policy("abc")
    telling("call", cause="integrity", **CALL)
    telling.close()


def test_names_without_end_are_left_out():
    many = {**CALL, "collections": ["x" * 100] * 1_000}
    (alert,) = told(lambda t: t("call", cause="integrity", **many))
    assert alert["collections"] == []
