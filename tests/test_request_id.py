"""A client's request id is taken where it is harmless; else there is a new one."""

import pytest

from vecguard.request_id import HEADER, identified, request_id


@pytest.mark.parametrize("given", ["a", "0f8fad5b-d9cb-469f-a165-70867728950e", "x" * 64, "A.b_c:9"])
def test_a_clients_own_is_taken(given):
    assert request_id({HEADER: given}) == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\n", 'a"', "größe", "a/b", "<a>"])
def test_what_could_do_harm_in_a_log_is_replaced(given):
    made = request_id({HEADER: given})
    assert made != given
    assert len(made) == 24


def test_new_ones_differ():
    assert len({request_id({}) for _ in range(100)}) == 100


def test_metadata_has_the_id_that_counts():
    assert identified({"a": "b", HEADER: "mine"}) == {"a": "b", HEADER: "mine"}
    assert identified({"a": "b", HEADER: "not mine!"})[HEADER] != "not mine!"
