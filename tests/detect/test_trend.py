"""The course of a risk is kept whole and short."""

from __future__ import annotations

from vecguard.detect.trend import Trend

POINTS = [(1_800_000_000.25, 0.1), (1_800_000_150.5, 1.25)]


def test_points_come_back_as_they_were_given():
    trend = Trend(POINTS)
    assert (list(trend), len(trend), trend[-1], list(trend[1:])) == (POINTS, 2, POINTS[1], POINTS[1:])
    assert trend == Trend(POINTS)
    assert trend != Trend(POINTS[:1])
    assert not Trend()


def test_the_oldest_points_leave():
    trend = Trend(POINTS).then(1_800_000_300.0, 0.5, most=2)
    assert list(trend) == [POINTS[1], (1_800_000_300.0, 0.5)]
    assert list(Trend().then(1.0, 2.0, most=24)) == [(1.0, 2.0)]
