"""A call is routed, understood whole, granted, served, confirmed and written down; what is not goes no further."""

import asyncio
from dataclasses import replace

import pytest
from google.protobuf.internal.encoder import _VarintBytes
from qdrant_client import grpc as q
from shields import record_of

from vecguard.catalog import MAX_AGE_S, Catalog, StaleEntry, StoredManifest
from vecguard.errors import (
    Denied,
    FailedPrecondition,
    InvalidArgument,
    LimitExceeded,
    NotFound,
    Refused,
    UnknownField,
    Unreadable,
    UpstreamFailure,
)
from vecguard.front.qdrant import translation
from vecguard.generation import Generation
from vecguard.keys.key import Key
from vecguard.keys.wrapping import LocalWrapping
from vecguard.load import Load
from vecguard.manifest import Manifest, pack_core, pack_vector
from vecguard.model import ANONYMOUS, UNRESTRAINED, Principal
from vecguard.pipeline import Pipeline, Route, parse
from vecguard.policy.credentials import hash_key
from vecguard.policy.limits import Limits
from vecguard.policy.model import Access, CollectionPolicy, PayloadRule, Policy

COUNT = "/qdrant.Points/Count"
PROVIDER = LocalWrapping(Key(bytes(32)))
ASK = q.CountPoints(collection_name="notes", exact=True)
FILTERED = q.CountPoints(collection_name="notes", filter=q.Filter(must=[q.Condition(filter=q.Filter())]))


def made(collection="notes"):
    manifest, ring = Manifest.new(collection, PayloadRule(), PROVIDER)
    return StoredManifest(pack_core(manifest, ring), {"": pack_vector(record_of(), manifest, ring)})


class Events(list):
    """The trail of calls, in memory."""

    def __call__(self, event, **fields):
        self.append({"event": event, **fields})


class House:
    """A pipeline with one route, over collections in memory."""

    def __init__(self, serve, action="read", policy=None, upstream=None, **ways):
        self.manifests = {"notes": made()}
        self.policy = policy or Policy(version=1, collections=(CollectionPolicy(match="*"),))
        self.trail = Events()
        self.principal = ANONYMOUS
        self.reads = 0
        self.catalog = Catalog(self.read, self.real_name, PROVIDER, lambda: self.policy, Generation(None, 1, 0))
        route = Route(COUNT, q.CountPoints, q.CountResponse, "protected", action, "counted", serve)
        rules = lambda: self.policy  # noqa: E731
        self.pipeline = Pipeline({COUNT: route}, self.catalog, upstream, rules, self.identify, self.trail, **ways)

    async def identify(self, metadata, peer):
        if metadata.get("who") == "stranger":
            raise Denied("no such credential")
        return self.principal

    async def read(self, name, caller):
        self.reads += 1
        if name not in self.manifests:
            raise NotFound(f"Collection `{name}` doesn't exist!")
        return self.manifests[name]

    async def real_name(self, name, caller):
        return name

    def call(self, ask=ASK, rpc=COUNT, metadata=None, time_left=None):
        body = ask if isinstance(ask, bytes) else ask.SerializeToString()
        answer = asyncio.run(self.pipeline.handle(rpc, body, metadata or {}, time_left))
        return q.CountResponse.FromString(answer)


def counted(number=7):
    async def serve(ask, session):
        await session.open(ask.collection_name, "read")
        return q.CountResponse(result=q.CountResult(count=number))

    return serve


# -- routing and parsing -----------------------------------------------------------------------------------------------


def test_a_call_is_answered_and_written_down():
    house = House(counted())
    assert house.call().result.count == 7
    (event,) = house.trail
    assert event.pop("ms") >= 0
    assert event.pop("stages").keys() == {"auth"}
    assert len(event.pop("request_id")) == 24
    assert event == {
        "event": "call",
        "rpc": COUNT,
        "protocol": "grpc",
        "principal": "<anonymous>",
        "collections": ["notes"],
        "status": "OK",
    }


def test_an_unknown_rpc_is_refused_by_name():
    house = House(counted())
    for rpc in ("/qdrant.Points/New", "/qdrant.points/Count", "", "Count"):
        with pytest.raises(Refused, match="is not known to VecGuard"):
            house.call(rpc=rpc)
    assert [event["status"] for event in house.trail] == ["UNIMPLEMENTED"] * 4
    assert house.reads == 0


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05abc", b"\x0a"])
def test_what_is_no_message_is_refused(body):
    with pytest.raises(InvalidArgument, match=r"not a valid qdrant\.CountPoints message"):
        House(counted()).call(body)


def with_unknown(message, place):
    """The message with an unknown field (number 9999) at a place inside it."""
    field = _VarintBytes(9999 << 3 | 2) + b"\x06secret"
    copy = type(message)()
    copy.CopyFrom(message)
    place(copy).MergeFromString(field)
    return copy.SerializeToString()


@pytest.mark.parametrize(
    "place",
    [lambda ask: ask, lambda ask: ask.filter, lambda ask: ask.filter.must[0], lambda ask: ask.filter.must[0].filter],
)
def test_an_unknown_field_is_refused_at_every_depth(place):
    served = []

    async def serve(ask, session):
        served.append(ask)
        return q.CountResponse()

    house = House(serve)
    with pytest.raises(UnknownField, match="does not know"):
        house.call(with_unknown(FILTERED, place))
    assert not served
    house.call(FILTERED)
    assert served == [FILTERED]


def test_a_message_may_be_encoded_in_any_way_that_protobuf_allows():
    """Fields twice, in another order, and default values written out are no unknown fields."""
    route = House(counted()).pipeline._routes[COUNT]
    body = q.CountPoints(collection_name="first").SerializeToString() + ASK.SerializeToString()
    assert parse(route, body) == ASK
    assert parse(route, b"\x0a\x00").collection_name == ""


def test_what_only_a_newer_database_says_does_not_reach_the_client():
    async def serve(ask, session):
        answer = q.CountResponse(result=q.CountResult(count=1))
        answer.result.MergeFromString(_VarintBytes(9999 << 3 | 2) + b"\x06secret")
        return answer

    house = House(serve)
    body = asyncio.run(house.pipeline.handle(COUNT, ASK.SerializeToString(), {}, None))
    assert b"secret" not in body
    assert q.CountResponse.FromString(body).result.count == 1


def test_a_request_that_grows_too_deep_is_the_clients_fault():
    async def serve(ask, session):
        message = ask.filter
        for _ in range(200):
            message = q.Filter(must=[q.Condition(filter=message)])
        return q.CountResponse()

    with pytest.raises(InvalidArgument, match="nested too deeply"):
        House(serve).call(FILTERED)


# -- who may -----------------------------------------------------------------------------------------------------------


def test_a_stranger_is_denied_before_anything_is_read():
    house = House(counted())
    with pytest.raises(Denied, match="no such credential"):
        house.call(b"\xff", metadata={"who": "stranger"})
    assert (house.trail[0]["status"], house.trail[0]["principal"]) == ("PERMISSION_DENIED", None)
    assert house.reads == 0


def test_an_action_that_is_not_granted_is_denied_before_the_collection_is_looked_up():
    house = House(
        counted(), policy=Policy(version=1, access=Access(anonymous=()), collections=(CollectionPolicy(match="*"),))
    )
    for name in ("notes", "gone"):
        with pytest.raises(Denied, match="may not read"):
            house.call(q.CountPoints(collection_name=name))
    assert house.reads == 0
    house.principal = Principal("ada", frozenset({"read"}))
    assert house.call().result.count == 7
    assert house.trail[-1]["principal"] == "ada"


def test_a_route_may_not_do_more_than_it_was_granted():
    async def writes(ask, session):
        await session.open(ask.collection_name, "write")
        return q.CountResponse()

    house = House(writes)
    house.principal = Principal("reader", frozenset({"read"}))
    with pytest.raises(Denied, match="`reader` may not write"):
        house.call()
    assert house.reads == 0


def test_a_collection_that_the_policy_does_not_cover_is_denied():
    house = House(counted(), policy=Policy(version=1, collections=(CollectionPolicy(match="other"),)))
    with pytest.raises(Denied, match="no entry for the collection `notes`"):
        house.call()


def test_a_large_message_is_refused_where_the_policy_says_so():
    limits = Limits(max_message_mib=1)
    house = House(counted(), policy=Policy(version=1, collections=(CollectionPolicy(match="*", limits=limits),)))
    condition = q.Condition(is_null=q.IsNullCondition(key="k" * 2**20))
    with pytest.raises(LimitExceeded, match="the policy allows 1 MiB"):
        house.call(q.CountPoints(collection_name="notes", filter=q.Filter(must=[condition])))
    assert house.call().result.count == 7


# -- stale manifests ---------------------------------------------------------------------------------------------------


def remake(house):
    house.manifests["notes"] = made()


def test_a_read_that_met_a_newer_record_is_run_again_on_the_new_manifest():
    seen = []

    async def serve(ask, session):
        entry = await session.open(ask.collection_name, "read")
        seen.append((entry.shield.manifest.uuid, ask.exact))
        if len(seen) == 1:
            remake(house)
            ask.exact = False  # each attempt starts from the client's own bytes
            raise StaleEntry
        return q.CountResponse(result=q.CountResult(count=9))

    house = House(serve)
    assert house.call().result.count == 9
    assert seen[0][0] != seen[1][0]
    assert [exact for _, exact in seen] == [True, True]


def test_a_record_that_always_names_another_manifest_is_unreadable():
    attempts = []

    async def serve(ask, session):
        await session.open(ask.collection_name, "read")
        attempts.append(ask)
        raise StaleEntry

    house = House(serve)
    with pytest.raises(Unreadable):
        house.call()
    assert len(attempts) == 3
    assert house.trail[-1]["status"] == "DATA_LOSS"


def test_what_cannot_be_opened_is_tried_again_only_if_the_manifest_changed():
    attempts = []

    async def serve(ask, session):
        await session.open(ask.collection_name, "read")
        attempts.append(ask)
        if len(attempts) == 1:
            remake(house)
        if len(attempts) <= failures:
            raise Unreadable
        return q.CountResponse(result=q.CountResult(count=len(attempts)))

    failures = 1
    house = House(serve)
    assert house.call().result.count == 2
    attempts.clear()
    failures = 9
    with pytest.raises(Unreadable):
        house.call()
    assert len(attempts) == 2


def test_a_manifest_that_cannot_be_opened_is_not_tried_again():
    house = House(counted())
    house.manifests["notes"] = StoredManifest("damaged", {})
    with pytest.raises(Unreadable):
        house.call()
    assert house.reads == 1


def test_a_write_under_an_old_manifest_is_done_again_under_the_new():
    written = []

    async def serve(ask, session):
        entry = await session.open(ask.collection_name, "write")
        if not written:
            remake(house)
        written.append(entry.shield.manifest.uuid)
        return q.CountResponse(result=q.CountResult(count=len(written)))

    house = House(serve, action="write")
    assert house.call().result.count == 2
    assert written[0] != written[1]
    assert house.call().result.count == 3


class Stamping:
    """A database that answers with a stamp of the collection's configuration, and counts."""

    def __init__(self, stamp):
        self.stamp, self.asked = stamp, 0

    async def stamped(self, rpc, message, answer, caller):
        self.asked += 1
        return answer(result=q.CountResult(count=self.asked)), self.stamp


def writing(database, *stamps):
    """A house whose collection was read at the first of `stamps`, and made anew with the second during the write."""

    async def serve(ask, session):
        await session.translated(translation).open(ask.collection_name, "write")
        for stamp in stamps[1:] if database.asked == 0 else ():
            house.manifests["notes"] = replace(made(), stamp=stamp)
        return await session.call(COUNT, ask, q.CountResponse)

    house = House(serve, action="write", upstream=database)
    house.manifests["notes"] = replace(made(), stamp=stamps[0])
    return house


def test_a_write_that_is_answered_with_the_stamp_of_the_manifest_is_not_looked_after():
    house = writing(Stamping("a"), "a")
    assert [house.call().result.count for _ in range(3)] == [1, 2, 3]
    assert house.reads == 1


@pytest.mark.parametrize("stamp", ["b", ""])
def test_a_write_that_is_answered_with_no_such_stamp_is(stamp):
    house = writing(Stamping(stamp), "a")
    assert house.call().result.count == 1
    assert house.reads == 2


def test_a_write_into_a_collection_with_another_stamp_by_now_is_run_again():
    house = writing(Stamping("b"), "a", "b")
    assert house.call().result.count == 2
    assert house.reads == 2  # the second attempt was answered with the stamp of what it was run on


def test_a_database_without_stamps_is_not_asked_for_one():
    class Database:
        asked = 0

        async def call(self, rpc, message, answer, caller):
            return answer(result=q.CountResult(count=7))

    house = writing(Database(), "")
    assert house.call().result.count == 7
    assert house.reads == 2


def test_a_write_that_never_settles_is_not_acknowledged():
    attempts = []

    async def serve(ask, session):
        await session.open(ask.collection_name, "write")
        remake(house)
        attempts.append(ask)
        return q.CountResponse()

    house = House(serve, action="write")
    with pytest.raises(FailedPrecondition, match="kept being made anew"):
        house.call()
    assert len(attempts) == 3


def test_a_write_into_a_collection_that_went_away_is_not_acknowledged():
    async def serve(ask, session):
        await session.open(ask.collection_name, "write")
        del house.manifests["notes"]
        return q.CountResponse()

    house = House(serve, action="write")
    with pytest.raises(NotFound):
        house.call()


def test_a_read_needs_no_confirmation(clock):
    house = House(counted())
    house.call()
    house.call()
    assert house.reads == 1


class Clock:
    """The catalog's clock, which goes by hand."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr("vecguard.catalog.time", self)

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_a_read_that_took_longer_than_its_manifest_is_trusted_is_confirmed(clock):
    """Meanwhile the keys may have been rotated, and records that it looked for lie under the new one."""
    seen, took = [], [MAX_AGE_S, 0.0]

    async def serve(ask, session):
        entry = await session.open(ask.collection_name, "read")
        seen.append(entry.shield.manifest.uuid)
        if len(seen) == 1:
            remake(house)
        clock.now += took[len(seen) - 1]
        return q.CountResponse(result=q.CountResult(count=len(seen)))

    house = House(serve)
    assert house.call().result.count == 2
    assert seen[0] != seen[1]
    assert house.reads == 2  # the second was quick


def test_a_read_that_takes_too_long_of_a_collection_that_stays_is_answered(clock):
    async def serve(ask, session):
        await session.open(ask.collection_name, "read")
        clock.now += MAX_AGE_S
        return q.CountResponse(result=q.CountResult(count=1))

    house = House(serve)
    assert house.call().result.count == 1
    assert house.reads == 2


def test_a_read_during_which_the_collection_never_stays_is_not_answered(clock):
    async def serve(ask, session):
        await session.open(ask.collection_name, "read")
        remake(house)
        clock.now += MAX_AGE_S
        return q.CountResponse()

    house = House(serve)
    with pytest.raises(FailedPrecondition, match="kept being made anew"):
        house.call()


def test_a_call_that_changes_the_manifest_itself_is_served_once_however_long_it_runs(clock):
    """Again, it would fail by its own change, such as by a vector's name that is there already."""
    served = []

    async def serve(ask, session):
        await session.open(ask.collection_name, "write")
        remake(house)
        session.written.clear()  # as those calls do
        clock.now += MAX_AGE_S
        served.append(ask)
        return q.CountResponse(result=q.CountResult(count=len(served)))

    house = House(serve, action="write")
    assert house.call().result.count == 1
    assert len(served) == 1


# -- time, failures, the trail -----------------------------------------------------------------------------------------


def test_the_deadline_of_the_client_goes_on_to_the_database():
    class Database:
        async def call(self, rpc, message, answer, caller):
            timeouts.append(caller.timeout)
            return answer()

    async def serve(ask, session):
        await asyncio.sleep(0.02)
        return await session.call(COUNT, ask, q.CountResponse)

    timeouts = []
    house = House(serve, upstream=Database())
    house.call(time_left=60.0)
    assert 30.0 < timeouts[0] <= 59.98
    house.call(time_left=0.01)
    assert timeouts[1] == 0.0
    house.call()
    assert timeouts[2] is None


def test_only_metadata_that_the_front_names_goes_on_to_the_database():
    class Database:
        async def call(self, rpc, message, answer, caller):
            seen.append(dict(caller.metadata))
            return answer()

    async def serve(ask, session):
        return await session.call(COUNT, ask, q.CountResponse)

    async def read(name, caller):
        seen.append(dict(caller.metadata))
        return made()

    seen = []
    given = {"authorization": "token", "api-key": "secret", "dbname": "two"}
    house = House(serve, upstream=Database(), passed_metadata=frozenset({"authorization", "dbname", "identifier"}))
    house.call(metadata=given)
    House(serve, upstream=Database()).call(metadata=given)
    opened = House(counted(), passed_metadata=frozenset({"dbname"}))
    opened.catalog._read = read
    opened.call(metadata=given)
    assert seen == [{"authorization": "token", "dbname": "two"}, {}, {"dbname": "two"}]


def test_a_front_may_tell_of_errors_in_its_replies():
    def failed(route, error):
        told.append((route.rpc, error.status))
        return None if isinstance(error, NotFound) else q.CountResponse(time=4.0)

    async def serve(ask, session):
        raise failures.pop()

    told = []
    failures = [NotFound("gone"), InvalidArgument("no"), RuntimeError("a bug")]
    house = House(serve, failed=failed)
    with pytest.raises(RuntimeError):
        house.call()
    assert house.call().time == 4.0
    with pytest.raises(NotFound):
        house.call()
    with pytest.raises(Refused):
        house.call(rpc="/qdrant.Points/New")
    assert told == [(COUNT, "INVALID_ARGUMENT"), (COUNT, "NOT_FOUND")]
    assert [event["status"] for event in house.trail] == ["INTERNAL", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (UpstreamFailure("RESOURCE_EXHAUSTED", "slow down"), "RESOURCE_EXHAUSTED"),
        (NotFound("gone"), "NOT_FOUND"),
        (RuntimeError("a bug with a secret"), "INTERNAL"),
        (asyncio.CancelledError(), "CANCELLED"),
    ],
)
def test_every_end_of_a_call_is_written_down(failure, status):
    async def serve(ask, session):
        session.grant("read", "notes")
        raise failure

    house = House(serve)
    with pytest.raises(type(failure)):
        house.call()
    (event,) = house.trail
    assert (event["status"], event["collections"]) == (status, ["notes"])
    assert "secret" not in str(event)


def test_the_trail_counts_what_re_ranking_read():
    async def serve(ask, session):
        session.candidates += 120
        session.uncertified += 1
        return q.CountResponse()

    house = House(serve)
    house.call()
    assert (house.trail[0]["candidates"], house.trail[0]["uncertified"]) == (120, 1)


def test_the_trail_has_what_a_listener_turned_away():
    house = House(counted())
    house.pipeline.turned_away("/a/B", "INVALID_ARGUMENT", protocol="rest", request="r1")
    assert house.trail == [
        {
            "event": "call",
            "rpc": "/a/B",
            "protocol": "rest",
            "principal": None,
            "collections": [],
            "status": "INVALID_ARGUMENT",
            "cause": "request",
            "request_id": "r1",
            "ms": house.trail[0]["ms"],
        }
    ]


def test_a_new_policy_holds_from_the_next_call_on():
    house = House(counted())
    house.call()
    house.policy = Policy(version=1, collections=(CollectionPolicy(match="other"),))
    with pytest.raises(Denied):
        house.call()


# -- credentials -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [False, True])
def test_a_credential_goes_on_to_the_database_only_where_the_policy_knows_none(known):
    seen = []

    async def serve(ask, session):
        seen.append(dict(session.caller.metadata))
        return q.CountResponse()

    keys = [{"name": "ann", "hash": hash_key("k"), "roles": ["read"]}] if known else []
    policy = Policy.model_validate(
        {"version": 1, "access": {"anonymous": ["read"], "api_keys": keys}, "collections": [{"match": "*"}]}
    )
    house = House(serve, policy=policy, passed_metadata=frozenset({"authorization", "dbname"}))
    house.call(metadata={"authorization": "azpj", "dbname": "d"})
    assert seen == [{"dbname": "d"} if known else {"authorization": "azpj", "dbname": "d"}]


ROWS = {
    "anonymous": (),
    "roles": (
        {
            "name": "tenant",
            "grants": ({"actions": ("read", "write")}, {"actions": ("admin",), "rows": "all"}),
            "row_filter": {"tenant": {"attribute": "tenant"}},
        },
    ),
}


@pytest.mark.parametrize(
    ("action", "keys", "refused"),
    [
        ("read", None, ""),
        ("write", None, "it needs a grant with `rows: all`"),
        ("admin", None, ""),
        ("read", {"attribute": "tenant"}, ""),
        ("admin", {"attribute": "tenant"}, "a caller that is no tenant"),
        ("admin", {"attribute": "other"}, ""),
    ],
)
def test_the_whole_server_is_for_nobody_who_has_some_rows_only(action, keys, refused):
    async def serve(ask, session):
        session.grant(action, None)
        return q.CountResponse(result=q.CountResult(count=7))

    entries = (CollectionPolicy(match="theirs", tenant_keys=keys), CollectionPolicy(match="*"))
    house = House(serve, action, Policy(version=1, access=Access.model_validate(ROWS), collections=entries))
    house.principal = Principal("ann", frozenset({"tenant"}), attributes={"tenant": ("a",)})
    if refused:
        with pytest.raises(Denied, match=refused):
            house.call()
    else:
        assert house.call().result.count == 7


@pytest.mark.parametrize(
    ("said", "of_all", "refused"),
    [
        ((), False, "needs the attribute `org`, with one value"),
        ((), True, ""),
        (("a", "b"), False, "needs the attribute `org`, with one value"),
        (("a", "b"), True, "needs the attribute `org`, with one value"),
        (("a",), False, ""),
        (("a",), True, ""),
    ],
)
def test_who_is_no_tenant_opens_a_collection_for_what_concerns_no_record_alone(said, of_all, refused):
    async def serve(ask, session):
        await session.open(ask.collection_name, "read", of_all=of_all)
        assert session.tenants == ({ask.collection_name: said[0]} if said else {})
        return q.CountResponse(result=q.CountResult(count=7))

    entry = CollectionPolicy(match="*", tenant_keys={"attribute": "org"})
    house = House(serve, policy=Policy(version=1, collections=(entry,)))
    manifest, ring = Manifest.new("notes", entry.payload, PROVIDER, tenants=entry.tenant_keys)
    record = pack_vector(record_of(), manifest, ring)
    house.manifests = {"notes": StoredManifest(pack_core(manifest, ring), {"": record})}
    house.principal = Principal("ann", frozenset({"read"}), attributes={"org": said} if said else {})
    if refused:
        with pytest.raises(Denied, match=refused):
            house.call()
    else:
        assert house.call().result.count == 7


class Slowing:
    """A watch that lets every call wait until it is told to go on."""

    def __init__(self):
        self.waiting, self.go_on = 0, asyncio.Event()

    async def admit(self, principal, entry):
        self.waiting += 1
        await self.go_on.wait()
        return UNRESTRAINED

    async def served(self, *_):
        pass


def test_calls_that_are_slowed_leave_their_room_to_others():
    watch, body = Slowing(), ASK.SerializeToString()
    load = Load(1)
    house = House(counted(), watch=watch, load=load)
    load.take(2**20 - len(body))  # there is room for one call of this size

    async def run():
        slowed = []
        async with asyncio.timeout(60):
            for number in (1, 2, 3):
                slowed.append(asyncio.create_task(house.pipeline.handle(COUNT, body, {}, None)))
                while watch.waiting < number and not slowed[-1].done():
                    await asyncio.sleep(0.001)
        watch.go_on.set()
        return await asyncio.gather(*slowed)

    answers = asyncio.run(run())
    assert [q.CountResponse.FromString(one).result.count for one in answers] == [7] * 3
    load.require_room(len(body))
    with pytest.raises(LimitExceeded):
        load.require_room(len(body) + 1)
