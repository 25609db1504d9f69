"""Every field has the mode of its longest rule, comes back as it went in, and opens nowhere else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shields import IDENTITY, PAYLOAD, ring_of, shield_of

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.fields import Fields, pointer
from vecguard.policy.model import PayloadRule
from vecguard.seal.fields import FieldSealer
from vecguard.seal.ids import num_id

LEAVES = (True, False, 0, 1, -(2**63), 2**63 - 1, 0.0, -0.0, 1.5, float("inf"), "", "text", "é😀\0", "vg:AQEAAAAAAQ")
MODES = ("plain", "searchable", "sealed")
KEYS = {"plain": ("open",), "searchable": ("word",), "sealed": ("secret",)}
POINT, OTHER = num_id(1), num_id(2)


def fields_of(rule=PAYLOAD, ring=None):
    return Fields(rule, FieldSealer(ring or ring_of(1), IDENTITY.bytes), lambda path: f"rule of {path}")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("leaf", LEAVES, ids=repr)
@pytest.mark.parametrize("bound", [True, False])
def test_a_leaf_comes_back_with_its_type(mode, leaf, bound):
    fields = fields_of()
    stored = fields.protect(KEYS[mode], leaf, POINT if bound else None)
    back = fields.reveal(KEYS[mode], stored, POINT)
    assert (type(back), repr(back)) == (type(leaf), repr(leaf))
    assert (stored is leaf) == (mode == "plain")
    if mode != "plain":
        assert stored.startswith("vg:")


def test_sealed_values_never_look_alike_and_searchable_ones_do():
    fields = fields_of()
    for mode, alike in (("sealed", False), ("searchable", True)):
        first, second = (fields.protect(KEYS[mode], "same", POINT) for _ in range(2))
        assert (first == second) == alike
    assert fields.protect(("word",), 1, POINT) != fields.protect(("word",), 1.0, POINT)
    assert fields.protect(("word",), 1, POINT) != fields.protect(("word",), True, POINT)
    assert fields.protect(("word",), "x", POINT) == fields.protect(("word",), "x", OTHER)
    assert fields.protect(("word",), "x", POINT) != fields.protect(("deep",), "x", POINT)


def test_the_longest_rule_decides_and_covers_what_lies_below():
    fields = fields_of()
    for keys, mode in (
        (("open",), "plain"),
        (("open", "below"), "plain"),
        (("opening",), "sealed"),
        (("deep",), "searchable"),
        (("deep", "x", "y"), "searchable"),
        (("deep", "open", "y"), "plain"),
        (("odd", "a.b/c~d"), "plain"),
        (("odd", "a", "b/c~d"), "sealed"),
        ((), "sealed"),
    ):
        assert fields.mode(keys) == mode
        assert (fields.protect(keys, "v", POINT) == "v") == (mode == "plain")


@pytest.mark.parametrize("mode", ["sealed", "searchable"])
def test_a_value_opens_in_its_own_place_only(mode):
    rule = PayloadRule(default=mode)
    fields, keys = fields_of(rule), ("a", "b")
    stored = fields.protect(keys, "v", POINT)
    assert fields.reveal(keys, stored, POINT) == "v"
    places = [(("a",), POINT), (("a", "c"), POINT), (("a/b",), POINT), (("b", "a"), POINT), (("a", "b", ""), POINT)]
    if mode == "sealed":
        places.append((keys, OTHER))
    for elsewhere, point in places:
        with pytest.raises(Unreadable):
            fields.reveal(elsewhere, stored, point)
    with pytest.raises(Unreadable):
        fields_of(rule, ring_of(2)).reveal(keys, stored, POINT)
    with pytest.raises(Unreadable):
        Fields(rule, FieldSealer(ring_of(1), bytes(16)), str).reveal(keys, stored, POINT)


@pytest.mark.parametrize("mode", ["sealed", "searchable"])
@pytest.mark.parametrize("forged", ["in clear", "", "vg:", "vg:AAAA", 7, 1.5, True])
def test_what_was_never_sealed_is_not_taken_for_good(mode, forged):
    with pytest.raises(Unreadable):
        fields_of().reveal(KEYS[mode], forged, POINT)
    assert fields_of().reveal(KEYS["plain"], forged, POINT) is forged


def test_a_value_does_not_open_under_the_other_mode():
    sealed, searchable = fields_of(PayloadRule()), fields_of(PayloadRule(default="searchable"))
    with pytest.raises(Unreadable):
        searchable.reveal(("a",), sealed.protect(("a",), "v", POINT), POINT)
    with pytest.raises(Unreadable):
        sealed.reveal(("a",), searchable.protect(("a",), "v", POINT), POINT)


def test_tokens_are_those_that_are_stored_for_every_live_key():
    old, both = fields_of(ring=ring_of(1)), fields_of(ring=ring_of(1, 2))
    tokens = both.tokens(("word",), "v")
    assert tokens == [both.protect(("word",), "v", POINT), old.protect(("word",), "v", POINT)]
    assert both.reveal(("word",), tokens[1], POINT) == "v"
    assert both.tokens(("word",), "w") != tokens


def test_remembered_fields_are_bounded():
    fields = fields_of()
    for number in range(2100):
        fields.protect((f"key {number}",), "v", POINT)
    assert fields.at.cache_info().currsize <= 2048


KEY = st.text("ab.~/\"'[]\\ \0é", max_size=4)


@settings(max_examples=300)
@given(st.lists(KEY, max_size=3), st.lists(KEY, max_size=3))
def test_pointers_of_different_keys_differ(first, second):
    assert (pointer(tuple(first)) == pointer(tuple(second))) == (first == second)


def test_pointers_are_those_of_rfc_6901():
    # Section 5 of the RFC.
    for key, text in (
        ("", "/"),
        ("a/b", "/a~1b"),
        ("c%d", "/c%d"),
        ("i\\j", "/i\\j"),
        ('k"l', '/k"l'),
        ("m~n", "/m~0n"),
    ):
        assert pointer((key,)) == text
    assert pointer(()) == ""
    assert pointer(("foo", "0")) == "/foo/0"


def test_a_field_that_can_answer_is_let_through():
    fields = fields_of()
    assert fields.require("open", (), ("plain",), "a range") == "plain"
    assert fields.require("word[]", (), ("plain", "searchable"), "a match") == "searchable"
    assert fields.require("open", ("deep",), ("plain",), "a range") == "plain"
    assert fields.require('"a.b/c~d"', ("odd",), ("plain",), "a range") == "plain"


def test_a_field_that_cannot_answer_is_named_with_mode_and_policy_entry():
    with pytest.raises(InvalidArgument) as refusal:
        fields_of().require("b", ("secret",), ("plain", "searchable"), "a match")
    assert str(refusal.value) == (
        "a match cannot be answered on field `secret.b`: its mode is sealed (rule of secret.b); "
        "it needs mode plain or searchable in the policy (payload.fields), from the collection's creation on"
    )
    with pytest.raises(InvalidArgument, match=r'collections\[0\]\.payload\.fields\."deep.open"'):
        shield_of().fields.require("deep.open", (), ("searchable",), "this")
    for malformed in ("", "a..b", "a b", '"a', "a["):
        with pytest.raises(InvalidArgument, match="Invalid json path"):
            fields_of().require(malformed, (), MODES, "anything")
