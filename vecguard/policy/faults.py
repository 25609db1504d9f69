"""A cross-check's findings, carried through pydantic with the place of each, so that a report can give lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic_core import PydanticCustomError

ERROR_TYPE: Final = "policy_faults"


class Fault(NamedTuple):
    """One thing that is wrong: `at` is its path below the entry that was checked, `text` what to do about it."""

    at: tuple[str | int, ...]
    text: str


def raise_if_any(faults: Sequence[Fault]) -> None:
    """Raise one pydantic error holding all faults; no-op when there is none."""
    if faults:
        text = "; ".join(fault.text for fault in faults)
        raise PydanticCustomError(ERROR_TYPE, "{text}", {"text": text, "faults": list(faults)})
