"""Date-times read as the engine reads them."""

from datetime import UTC, datetime

import numpy as np
import pytest
import qdrant_edge as edge
from hypothesis import given
from hypothesis import strategies as st

from ranking.engine import Reference
from vecguard.errors import InvalidArgument
from vecguard.ranking.datetime_text import microseconds

TEXTS = [
    "2024-01-02T03:04:05Z",
    "2024-01-02",
    " 2024-01-02",
    "2024-01-02 ",
    "2024-1-2",
    "24-01-02",
    "20240102",
    "2024-13-02",
    "2024-02-30",
    "2024-02-29",
    "2023-02-29",
    "1900-02-29",
    "2000-02-29",
    "2024-00-10",
    "2024-01-00",
    "2024-001-02",
    "2024- 01- 02",
    "2024 -01-02",
    "-0001-01-01",
    "0000-01-01",
    "+2024-01-02",
    "12024-01-02",
    "+12024-01-02",
    "-12024-01-02",
    "2024-01-02 03:04",
    "2024-01-02T03:04",
    "2024-01-02T 03:04",
    "2024-01-02 T03:04",
    "2024-01-02\t03:04:05",
    "2024-01-02  03:04:05",
    "2024-01-02T03",
    "2024-01-02T03:60",
    "2024-01-02T24:00:00Z",
    "2024-01-02T23:59:60Z",
    "2024-01-02T03:04:61",
    "2024-01-02T3:4:5Z",
    "2024-01-02T03:04Z",
    "2024-01-02 03:04+01:00",
    "2024-01-02t03:04:05z",
    "2024-01-02T03:04:05 Z",
    "2024-01-02 03:04:05 UTC",
    "2024-01-02T03:04:05utc",
    "2024-01-02T03:04:05.123 UTC",
    "2024-01-02T03:04:05GMT",
    "2024-01-02T03:04:05.Z",
    "2024-01-02T03:04:05 .5",
    "2024-01-02 03:04:05+01",
    "2024-01-02T03:04:05 +01",
    "2024-01-02 03:04:05.5+0130",
    "2024-01-02 03:04:05 +01:00",
    "2024-01-02T03:04:05-00:00",
    "2024-01-02T03:04:05+23:59",
    "2024-01-02T03:04:05+24:00",
    "2024-01-02T03:04:05+01:60",
    "2024-01-02T03:04:05+1:00",
    "2024-01-02T03:04:05+ 01:00",
    "2024-01-02T03:04:05+01 :00",
    "2024-01-02T03:04:05+01: 00",
    "2024-01-02T03:04:05\u221201:00",
    "",
    "soon",
    "٢٠٢٤-01-02",
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return Reference(tmp_path_factory.mktemp("engine"), np.ones((1, 2), np.float32))


def read_by_engine(engine, text):
    """Seconds within the century to about 1/60 s: a float32 score holds no more, so days and seconds are apart."""
    nearest = [edge.Prefetch(limit=1, query=edge.Query.Nearest([1.0, 1.0]))]

    def seconds_beyond(origin):
        parts = [edge.Expression.Datetime(text), edge.Expression.Neg(edge.Expression.Datetime(origin))]
        return engine.query(edge.Formula(edge.Expression.Sum(parts), {}), prefetches=nearest)[0][1]

    return seconds_beyond


@pytest.mark.parametrize("text", TEXTS)
def test_texts_are_read_as_the_engine_reads_them(engine, text):
    seconds_beyond = read_by_engine(engine, text)
    try:
        ours = microseconds(text)
    except InvalidArgument:
        with pytest.raises(ValueError, match="failed to parse date-time"):
            seconds_beyond("1970-01-01")
        return
    # The nearer the origin, the finer the score: check against a near origin, then the epoch.
    near = datetime(2024, 1, 2, tzinfo=UTC)
    assert seconds_beyond("2024-01-02") == pytest.approx(ours / 1e6 - near.timestamp(), rel=1e-6, abs=1e-3)
    assert seconds_beyond("1970-01-01") == pytest.approx(ours / 1e6, rel=1e-6)


@given(st.datetimes(timezones=st.just(UTC)))
def test_any_iso_date_is_read_to_the_microsecond(moment):
    exact = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // (datetime.resolution)
    assert microseconds(moment.isoformat()) == exact
    assert microseconds(moment.strftime("%Y-%m-%d %H:%M:%S.%f").zfill(26)) == exact


def test_offsets_and_fractions():
    assert microseconds("1970-01-01T01:00:00+01:00") == 0
    assert microseconds("1969-12-31T23:59:59.9999995Z") == -1
    assert microseconds("1970-01-01T00:00:00.0000019Z") == 1
