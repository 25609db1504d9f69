"""A worker takes so many bytes of requests at once; one alone is always taken, and all are given back."""

import pytest

from vecguard.errors import LimitExceeded
from vecguard.load import Load

MIB = 1024 * 1024


def test_too_much_at_once_is_turned_away_and_later_taken():
    load = Load(2)
    with load.admitted(MIB), load.admitted(MIB), pytest.raises(LimitExceeded, match="try again"), load.admitted(1):
        pass
    with load.admitted(2 * MIB):
        pass


def test_one_alone_is_always_taken():
    with Load(1).admitted(64 * MIB):
        pass


def test_what_failed_is_given_back():
    load = Load(1)
    with pytest.raises(ValueError), load.admitted(MIB):
        raise ValueError
    with load.admitted(MIB):
        pass


def test_a_call_that_waits_leaves_its_room_to_others():
    load = Load(2)
    with load.admitted(2 * MIB):
        with pytest.raises(LimitExceeded), load.admitted(1):
            pass
        with load.aside(2 * MIB), load.admitted(2 * MIB):
            pass
        with pytest.raises(LimitExceeded), load.admitted(1):
            pass
    with load.admitted(2 * MIB):
        pass


def test_a_call_that_waited_is_turned_away_where_its_room_is_taken():
    load = Load(2)
    other = load.admitted(2 * MIB)
    with pytest.raises(LimitExceeded, match="try again"), load.admitted(MIB), load.aside(MIB):
        other.__enter__()
    with pytest.raises(LimitExceeded), load.admitted(1):
        pass  # the other one is still at it
    other.__exit__()
    with load.admitted(2 * MIB), pytest.raises(LimitExceeded), load.admitted(1):
        pass  # all was given back once, and no more than that


def test_what_failed_while_it_waited_is_given_back_once():
    load = Load(1)
    with pytest.raises(ValueError), load.admitted(MIB), load.aside(MIB):
        raise ValueError
    with load.admitted(MIB), pytest.raises(LimitExceeded), load.admitted(1):
        pass
