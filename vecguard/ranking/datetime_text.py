"""Date-times as Qdrant reads them from text, to microseconds since 1970-01-01T00:00:00 UTC.

Source: github.com/qdrant/qdrant, lib/segment/src/types.rs (DateTimeWrapper); the accepted forms are RFC 3339 and looser
ones, all tried against the engine: one-digit parts, a space for the T, no seconds (then no offset), a date alone,
offsets +HH, +HHMM and +HH:MM, Z or UTC in any case. Without an offset the time is UTC.
"""

from __future__ import annotations

import re
from calendar import monthrange
from typing import Final

from vecguard.errors import InvalidArgument

MICROSECONDS: Final = 1_000_000
_DATE_TIME: Final = re.compile(
    r"""\s*(?P<year>\d{1,4}|[+-]\d{1,6})-\s*(?P<month>\d{1,2})-\s*(?P<day>\d{1,2})
    (?:(?:[Tt]\s*|\s+)(?P<hour>\d{1,2}):(?P<minute>\d{1,2})
      (?::(?P<second>\d{1,2})(?P<fraction>\.\d+)?
        (?:\s*(?P<zone>[Zz]|[Uu][Tt][Cc]|[+\-\u2212]\d{2}(?:\s*:?\s*\d{2})?))?)?)?""",
    re.VERBOSE | re.ASCII,
)


def microseconds(text: str) -> int:
    """Microseconds since the epoch, rounded down. Raises InvalidArgument for a text that is no date-time."""
    parts = _DATE_TIME.fullmatch(text)
    if parts is None:
        raise InvalidArgument(f"failed to parse date-time {text}")
    year, month, day = int(parts["year"]), int(parts["month"]), int(parts["day"])
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    in_range = 1 <= month <= 12 and 1 <= day <= _month_length(year, month)
    if not (in_range and hour < 24 and minute < 60 and second <= 60):
        raise InvalidArgument(f"failed to parse date-time {text}")
    seconds = _days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second - _offset(parts["zone"], text)
    fraction = (parts["fraction"] or ".")[1:7].ljust(6, "0")
    return seconds * MICROSECONDS + int(fraction)


def _offset(zone: str | None, text: str) -> int:
    """Seconds east of UTC."""
    if zone is None or zone[0] in "ZzUu":
        return 0
    digits = re.sub(r"\D", "", zone)
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 23 or minutes > 59:
        raise InvalidArgument(f"failed to parse date-time {text}")
    east = hours * 3_600 + minutes * 60
    return east if zone[0] == "+" else -east


def _month_length(year: int, month: int) -> int:
    # The calendar repeats every 400 years, and `calendar` knows the years from 1 only.
    return monthrange(year % 400 + 400, month)[1]


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the proleptic Gregorian calendar, for any year (datetime stops at years 1 and 9999)."""
    shifted = year - (month <= 2)
    era, year_of_era = divmod(shifted, 400)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    return era * 146_097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719_468
