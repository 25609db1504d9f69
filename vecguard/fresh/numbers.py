"""One form of a number whichever way a database gives it back. docs/formats.md §19 has it."""

from __future__ import annotations

import math
import sys
from typing import Final

# Above this a number that a double holds has no fraction, and is written as one in JSON.
_WHOLE_BELOW: Final = 2.0**53


def form(number: float) -> bytes:
    """Rounded to 12 digits: a database that keeps JSON may give back another last bit than it was given. Empty for a
    number that is not finite: JSON has none, so it is stored as null."""
    if not math.isfinite(number):
        return b""
    text = f"{number if abs(number) >= sys.float_info.min else 0.0:.11e}"
    rounded = float(text)
    whole = rounded.is_integer() and abs(rounded) < _WHOLE_BELOW
    return b"n%d" % int(rounded) if whole else b"n" + text.encode()
