"""Which events of the trail an operator should know of at once, and what is told of each: names and figures only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

DETECTION: Final = "DETECTION"
BUDGET: Final = "BUDGET_USED_UP"
ROLLED_BACK: Final = "ROLLED_BACK"
_CAUSES: Final[Mapping[str, str]] = {"integrity": "INTEGRITY_FAILURE", "blocked": "BLOCKED_CALL"}
_OF_A_CALL: Final = ("principal", "rpc", "collections", "request_id")
_OF_DETECTION: Final = (
    *("principal", "rung", "risk", "reasons", "detectors", "enforced", "acknowledged", "blocked_s", "request_id"),
)
_OF_A_BUDGET: Final = ("principal", "budget", "enforced", "wait_s", "request_id")
RUNGS: Final = ("", "log", "alert", "slow", "degrade", "block")
"""Of the ladder of responses, from the lowest; "" is none."""
_LOWEST: Final = RUNGS.index("alert")


def alert_of(event: str, fields: Mapping[str, object]) -> tuple[str, dict[str, Any]] | None:
    """The kind of alert that an event of the trail is, and what to tell; None for one that is none.

    A principal that came to the rung `alert` or above is one, unless an operator acknowledged what is found of it.
    """
    if event == "call":
        kind = _CAUSES.get(str(fields.get("cause", "")))
        return None if kind is None else (kind, _kept(fields, _OF_A_CALL))
    if event == "integrity" and fields.get("rolled_back"):
        return ROLLED_BACK, {**_kept(fields, _OF_A_CALL), "collections": [fields["collection"]]}
    if event == "detection":
        if fields.get("acknowledged") or RUNGS.index(str(fields.get("rung", ""))) < _LOWEST:
            return None
        return DETECTION, {**_kept(fields, _OF_DETECTION), "collections": [fields["collection"]]}
    if event == "budget":
        return BUDGET, {**_kept(fields, _OF_A_BUDGET), "collections": [fields["collection"]]}
    return None


def _kept(fields: Mapping[str, object], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}
