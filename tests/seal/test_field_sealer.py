"""Fields come back exactly, and only in the place they were sealed for; everything else is the same Unreadable."""

import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.ring import KeyRing
from vecguard.seal.envelope import from_text, to_text
from vecguard.seal.fields import FieldSealer, bound_to, fresh_nonces
from vecguard.seal.ids import num_id, uuid_id

POINT, OTHER_POINT = num_id(7), num_id(8)
UUID_POINT = uuid_id("936da01f-9abd-4d9d-80c7-02af85c822a8")
LEAVES = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text("aé€😀\0", max_size=40)
)


@pytest.fixture
def sealer(ring: KeyRing, collection: bytes) -> FieldSealer:
    return FieldSealer(ring, collection)


def value_of(case: dict[str, Any]) -> Any:
    return struct.unpack(">d", bytes.fromhex(case["value"]))[0] if case["type"] == "float" else case["value"]


def test_sealed_known_answers_open(known: Callable[[str], Any], sealer: FieldSealer) -> None:
    for case in known("fields")["fields"]:
        point = bytes.fromhex(case["point_id"]) if case["point_id"] else POINT
        opened = sealer.open(case["path"], case["sealed"], point)
        assert (type(opened), repr(opened)) == (type(value_of(case)), repr(value_of(case)))


def test_searchable_known_answers_are_made_and_open(known: Callable[[str], Any], sealer: FieldSealer) -> None:
    for case in known("fields")["fields"]:
        assert sealer.token(case["path"], value_of(case)) == case["searchable"]
        assert repr(sealer.open_token(case["path"], case["searchable"])) == repr(value_of(case))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=LEAVES, point=st.sampled_from([POINT, UUID_POINT, None]))
def test_every_value_comes_back(sealer: FieldSealer, value: Any, point: bytes | None) -> None:
    for opened in (
        sealer.open("/a", sealer.seal("/a", value, point), point or POINT),
        sealer.open_token("/a", sealer.token("/a", value)),
    ):
        assert (type(opened), repr(opened)) == (type(value), repr(value))


def test_sealing_never_repeats_and_tokens_always_do(sealer: FieldSealer) -> None:
    assert len({sealer.seal("/a", "x", POINT) for _ in range(50)}) == 50
    assert len({sealer.token("/a", "x") for _ in range(50)}) == 1


def test_tokens_differ_by_path_value_type_and_collection(sealer: FieldSealer, ring: KeyRing) -> None:
    tokens = {sealer.token(path, value) for path in ("/a", "/b", "/a/b") for value in ("1", 1, 1.0, True, "")}
    tokens.add(FieldSealer(ring, bytes(16)).token("/a", "1"))
    assert len(tokens) == 16


def test_a_bound_value_does_not_open_elsewhere(sealer: FieldSealer, ring: KeyRing) -> None:
    text = sealer.seal("/a", "x", POINT)
    other_collection, other_keys = FieldSealer(ring, bytes(16)), KeyRing({3: Key.random()}, 3)
    attempts = [
        (sealer, "/a", OTHER_POINT),
        (sealer, "/a", UUID_POINT),
        (sealer, "/a", b""),
        (sealer, "/b", POINT),
        (other_collection, "/a", POINT),
        (FieldSealer(other_keys, bytes.fromhex("0f0e0d0c0b0a49088706050403020100")), "/a", POINT),
    ]
    assert sealer.open("/a", text, POINT) == "x"
    for opener, path, point in attempts:
        with pytest.raises(Unreadable):
            opener.open(path, text, point)


def test_an_unbound_value_opens_at_any_point_but_at_no_other_path(sealer: FieldSealer) -> None:
    text = sealer.seal("/a", "x", None)
    assert sealer.open("/a", text, POINT) == sealer.open("/a", text, UUID_POINT) == "x"
    with pytest.raises(Unreadable):
        sealer.open("/b", text, POINT)


def test_the_unbound_flag_cannot_be_set_or_cleared_by_a_writer(sealer: FieldSealer) -> None:
    for text in (sealer.seal("/a", "x", POINT), sealer.seal("/a", "x", None)):
        data = bytearray(from_text(text))
        data[2] ^= 1
        with pytest.raises(Unreadable):
            sealer.open("/a", to_text(bytes(data)), POINT)


def test_a_token_does_not_open_elsewhere(sealer: FieldSealer, ring: KeyRing) -> None:
    token = sealer.token("/a", "x")
    for opener, path in [(sealer, "/b"), (FieldSealer(ring, bytes(16)), "/a")]:
        with pytest.raises(Unreadable):
            opener.open_token(path, token)


def test_the_two_kinds_do_not_open_as_each_other(sealer: FieldSealer) -> None:
    with pytest.raises(Unreadable):
        sealer.open("/a", sealer.token("/a", "x"), POINT)
    with pytest.raises(Unreadable):
        sealer.open_token("/a", sealer.seal("/a", "x", None))


def test_every_damage_is_unreadable(sealer: FieldSealer, damaged: Callable[[bytes], Iterator[bytes]]) -> None:
    sealed, token = sealer.seal("/a", "some text", POINT), sealer.token("/a", "some text")
    for data in damaged(from_text(sealed)):
        with pytest.raises(Unreadable):
            sealer.open("/a", to_text(data), POINT)
    for data in damaged(from_text(token)):
        with pytest.raises(Unreadable):
            sealer.open_token("/a", to_text(data))


@pytest.mark.parametrize("value", [None, True, 3, 1.5, "", "clear text", "vg:", "vg:AQEA", ["vg:AQEA"]])
def test_what_was_never_sealed_is_unreadable(sealer: FieldSealer, value: object) -> None:
    with pytest.raises(Unreadable):
        sealer.open("/a", value, POINT)
    with pytest.raises(Unreadable):
        sealer.open_token("/a", value)


def test_values_of_an_older_live_epoch_open_and_are_found(ring: KeyRing, collection: bytes) -> None:
    older = KeyRing({2: Key(bytes(reversed(range(32))))}, 2)
    before, now = FieldSealer(older, collection), FieldSealer(ring, collection)
    assert now.open("/a", before.seal("/a", "x", POINT), POINT) == "x"
    assert now.open_token("/a", before.token("/a", "x")) == "x"
    assert now.tokens_for_filter("/a", "x") == [now.token("/a", "x"), before.token("/a", "x")]
    assert before.token("/a", "x") != now.token("/a", "x")


def test_values_of_an_epoch_that_is_gone_are_unreadable(ring: KeyRing, collection: bytes) -> None:
    before, now = FieldSealer(ring, collection), FieldSealer(KeyRing({4: Key.random()}, 4), collection)
    with pytest.raises(Unreadable):
        now.open("/a", before.seal("/a", "x", POINT), POINT)
    with pytest.raises(Unreadable):
        now.open_token("/a", before.token("/a", "x"))


def test_a_claimed_other_epoch_does_not_open(sealer: FieldSealer) -> None:
    data = bytearray(from_text(sealer.seal("/a", "x", POINT)))
    data[6] = 2
    with pytest.raises(Unreadable):
        sealer.open("/a", to_text(bytes(data)), POINT)


@pytest.mark.parametrize("value", [2**63, None, "\ud800", [1]])
def test_values_that_cannot_be_sealed_are_refused(sealer: FieldSealer, value: Any) -> None:
    for seal in (lambda: sealer.seal("/a", value, POINT), lambda: sealer.token("/a", value)):
        with pytest.raises(InvalidArgument):
            seal()


def test_nothing_of_the_value_is_in_the_text(sealer: FieldSealer) -> None:
    secret = "patient-4711"
    for text in (sealer.seal("/a", secret, POINT), sealer.token("/a", secret)):
        assert secret.encode() not in from_text(text)
        assert secret not in text


def test_lengths_tell_a_bucket_only(sealer: FieldSealer) -> None:
    assert len({len(sealer.seal("/a", value, POINT)) for value in (True, 7, 1.5, "", "x" * 11)}) == 1


def test_cached_ciphers_are_bounded(sealer: FieldSealer) -> None:
    for number in range(2100):
        sealer.token(f"/path {number}", 1)
    assert sealer._searching.cache_info().currsize <= 2048


def test_kept_fields_and_their_ciphers_are_bounded(sealer: FieldSealer) -> None:
    for number in range(2100):
        sealer.sealed(f"/path {number}")
    assert sealer._sealing.cache_info().currsize <= 2048
    field = sealer.sealed("/a")
    field.protect("x", b"", fresh_nonces())
    for head in (b"", bytes(7), bytes.fromhex("01010000000009"), bytes.fromhex("01010200000003")):
        with pytest.raises(Unreadable):
            field.reveal(to_text(head + bytes(60)), b"")
    assert len(field._ciphers) == 1


def test_nonces_are_never_given_out_twice() -> None:
    streams = [fresh_nonces() for _ in range(3)]
    nonces = [nonce for stream in streams for nonce in islice(stream, 1000)]
    assert {len(nonce) for nonce in nonces} == {12}
    assert len(set(nonces)) == 3000


def test_values_of_one_write_have_nonces_of_their_own(sealer: FieldSealer) -> None:
    nonces, bound, field = fresh_nonces(), bound_to(POINT), sealer.sealed("/a")
    sealed = [from_text(field.protect("x", bound, nonces)) for _ in range(100)]
    assert len({data[7:19] for data in sealed}) == 100


def test_threads_share_a_sealer(sealer: FieldSealer) -> None:
    def work(number: int) -> list[Any]:
        return [sealer.open("/a", sealer.seal("/a", f"{number} {i}", POINT), POINT) for i in range(200)]

    with ThreadPoolExecutor(4) as pool:
        for number, opened in enumerate(pool.map(work, range(8))):
            assert opened == [f"{number} {i}" for i in range(200)]
