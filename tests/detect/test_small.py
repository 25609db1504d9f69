"""The floor in records falls evenly, and is none where a share says enough."""

from __future__ import annotations

import pytest

from vecguard.detect.small import LEAST, SMALL, held, least


def test_the_floor_falls_evenly_to_none() -> None:
    assert [least(records) for records in (0, 500, SMALL, 10**9)] == [LEAST, LEAST / 2, 0, 0]


@pytest.mark.parametrize("records", [1, 5, 20, 50])
def test_all_of_a_tiny_collection_is_no_extraction(records: int) -> None:
    assert held(50.0, records, records) < 0.55


def test_much_of_a_small_one_is() -> None:
    assert held(5.0, 60, 400) == 1.0
    assert held(5.0, 500, 500) == 5.0


@pytest.mark.parametrize("records", [SMALL, 10_000])
def test_from_a_thousand_on_the_level_is_the_detectors_own(records: int) -> None:
    assert held(1.25, 0, records) == 1.25
