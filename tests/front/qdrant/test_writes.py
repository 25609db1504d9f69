"""Every write operation: what it becomes at rest, and that all of it opens again for its own point."""

import numpy as np
import pytest
from qdrant_client import grpc as q
from shields import policy_of, record_of, shield_of

from vecguard.errors import InvalidArgument, LimitExceeded
from vecguard.front.qdrant import reveal
from vecguard.front.qdrant import vectors as wire
from vecguard.front.qdrant.payloads import python_value
from vecguard.front.qdrant.records import entries_of
from vecguard.front.qdrant.writes import Operation, protect_operation, protect_points, protect_vectors
from vecguard.metric import normalize
from vecguard.policy.limits import Limits
from vecguard.seal.envelope import from_text
from vecguard.seal.ids import num_id

X = np.random.default_rng(3).normal(size=(5, 16)).astype(np.float32)
BY_FILTER = q.PointsSelector(
    filter=q.Filter(must=[q.Condition(field=q.FieldCondition(key="word", match=q.Match(keyword="k")))])
)
SEALED_FILTER = q.Filter(must=[q.Condition(field=q.FieldCondition(key="secret", match=q.Match(keyword="k")))])
TOKEN = shield_of().fields.protect(("word",), "k", None)
SHARD = q.ShardKeySelector(shard_keys=[q.ShardKey(keyword="eu")])


def text(value):
    return q.Value(string_value=value)


def ids(*numbers):
    return q.PointsSelector(points=q.PointsIdsList(ids=[q.PointId(num=number) for number in numbers]))


def dense(row):
    return q.Vector(dense=q.DenseVector(data=row))


def named(**vectors):
    return q.Vectors(vectors=q.NamedVectors(vectors=vectors))


def rows(matrix):
    return q.Vector(multi_dense=q.MultiDenseVector(vectors=[q.DenseVector(data=row) for row in matrix]))


def everything():
    """A point with a vector of each kind."""
    return named(
        other=dense(X[1, :8]),
        multi=rows(X[:3, :8]),
        words=q.Vector(sparse=q.SparseVector(indices=[5, 2], values=[1, 2])),
        lost=dense(X[2, :8]),
    )


def as_read(point):
    """A stored point as an answer would carry it."""
    found = q.RetrievedPoint(id=point.id)
    found.payload.MergeFrom(point.payload)
    if point.vectors.HasField("vector"):
        found.vectors.vector.MergeFromString(point.vectors.vector.SerializeToString())
    for name, vector in point.vectors.vectors.vectors.items():
        found.vectors.vectors.vectors[name].MergeFromString(vector.SerializeToString())
    return found


def client_payload(stored, shield, number):
    """What a client would read of a stored payload."""
    point = q.RetrievedPoint(id=q.PointId(num=number), payload=stored)
    reveal.points(shield, [point], [])
    return {key: python_value(value) for key, value in point.payload.items()}


def run(operation, shield):
    copy = Operation()
    copy.CopyFrom(operation)
    return protect_operation(copy, shield)


# -- points ------------------------------------------------------------------------------------------------------------


def test_points_are_protected_and_open_again(shield):
    points = [
        q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors(vector=dense(X[0])), payload={"secret": text("s")}),
        q.PointStruct(id=q.PointId(uuid="936da01f-9abd-4d9d-80c7-02af85c822a8"), vectors=everything()),
        q.PointStruct(id=q.PointId(num=3)),
    ]
    protect_points(shield, points)
    assert np.abs(wire.read(points[0].vectors.vector).data - X[0]).max() > 0.1
    assert [sorted(point.payload) for point in points] == [["_p", "_vg"], ["_vg"], ["_vg"]]
    manifest = shield.manifest.short_id
    assert [len(entries_of(point.payload, manifest, "")) for point in points] == [1, 0, 0]
    assert entries_of(points[1].payload, manifest, "lost") == []
    read = [as_read(point) for point in points]
    reveal.points(shield, read[:1], [""])
    np.testing.assert_allclose(wire.read(read[0].vectors.vector).data, normalize(X[0]), atol=1e-5)
    assert {key: python_value(value) for key, value in read[0].payload.items()} == {"secret": "s"}
    reveal.points(shield, read[1:], ["other", "multi", "words"])
    found = read[1].vectors.vectors.vectors
    assert set(found) == {"other", "multi", "words"}
    np.testing.assert_allclose(wire.read(found["other"]).data, X[1, :8], atol=1e-5)
    np.testing.assert_allclose(wire.read(found["multi"]).rows, normalize(X[:3, :8]), atol=1e-5)
    words = wire.read(found["words"])
    assert (words.indices.tolist(), words.values.tolist()) == ([2, 5], [2.0, 1.0])
    assert not read[2].payload


def test_no_two_values_of_a_batch_share_a_nonce(shield):
    points = [q.PointStruct(id=q.PointId(num=i), payload={"secret": text("s"), "t": text("s")}) for i in range(50)]
    protect_points(shield, points)
    sealed = [value.string_value for p in points for value in p.payload["_p"].struct_value.fields.values()]
    assert len({from_text(one)[7:19] for one in sealed}) == 100


def test_a_batch_keeps_its_points_apart(shield):
    points = [
        q.PointStruct(
            id=q.PointId(num=i),
            vectors=q.Vectors(vector=dense(X[i])) if i % 2 else named(**{"": dense(X[i]), "other": dense(X[i, :8])}),
        )
        for i in range(5)
    ]
    protect_points(shield, points)
    opened = reveal.open_vectors(shield, [as_read(point) for point in points], "")
    assert list(opened.positions) == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([vector.data for vector in opened.vectors], normalize(X), atol=1e-5)
    others = reveal.open_vectors(shield, [as_read(point) for point in points], "other")
    assert list(others.positions) == [0, 2, 4]
    np.testing.assert_allclose([vector.data for vector in others.vectors], X[::2, :8], atol=1e-5)


def test_deprecated_forms_are_protected_in_place(shield):
    old = q.Vector(data=X[0])
    protect_vectors(shield, [num_id(1)], [q.Vectors(vector=old)])
    message = q.Vectors(vector=q.Vector(data=X[0]))
    entries = protect_vectors(shield, [num_id(1)], [message])
    assert list(entries[0]) == [""]
    assert message.vector.WhichOneof("vector") is None
    stored = np.array(message.vector.data, np.float32)
    assert np.abs(stored - X[0]).max() > 0.1
    opened = shield.dense("").open([num_id(1)], stored[np.newaxis], [[entries[0][""]]])
    np.testing.assert_allclose(opened.x[0], normalize(X[:1])[0], atol=1e-5)


@pytest.mark.parametrize("name", ["", "title"])
def test_points_with_one_vector_are_protected_together_as_they_are_apart(name):
    """The whole batch by its wire bytes; and vector by vector, as soon as one point has another form."""
    shield = shield_of(record_of(name))
    given = [named(**{name: dense(row)}) if name else q.Vectors(vector=dense(row)) for row in X]
    apart = [q.Vectors.FromString(vectors.SerializeToString()) for vectors in given]
    keys = [num_id(i) for i in range(5)]
    together = protect_vectors(shield, keys, given)
    empty = [q.Vectors(), *apart]
    assert protect_vectors(shield, [num_id(9), *keys], empty) == [{}, *together]
    assert [list(entries) for entries in together] == [[name]] * 5
    assert given == apart
    np.testing.assert_array_less(1e-3, np.abs(held(given, name) - normalize(X)).max(axis=1))


def held(points, name):
    vectors = [point.vectors.vectors[name] if name else point.vector for point in points]
    return np.stack([wire.read(vector).data for vector in vectors])


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (q.Vectors(vector=dense(X[0, :5])), "expected dim: 16, got 5"),
        (q.Vectors(vector=dense([*X[0], 1])), "expected dim: 16, got 17"),
        (q.Vectors(vector=dense([*X[0, :15], np.nan])), "NaN or infinite"),
        (named(**{"": dense(X[0]), "other": dense(X[0])}), "Not existing vector name error: other"),
    ],
)
def test_points_with_one_vector_are_refused_as_all_are(vectors, said):
    batch = [q.Vectors(vector=dense(X[1])), vectors]
    with pytest.raises(InvalidArgument, match=said):
        protect_vectors(shield_of(record_of()), [num_id(1), num_id(2)], batch)


def test_a_single_vector_stands_for_a_multivector_of_one_row(shield):
    message = named(multi=dense(X[0, :8]))
    (entries,) = protect_vectors(shield, [num_id(1)], [message])
    stored = wire.read(message.vectors.vectors["multi"])
    assert isinstance(stored, wire.Dense)
    opened = shield.dense("multi").open_rows(num_id(1), stored.data[None], [entries["multi"]])
    np.testing.assert_allclose(opened.x, normalize(X[:1, :8]), atol=1e-5)


SPARSE = q.Vector(sparse=q.SparseVector(indices=[1], values=[1]))


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (named(gone=dense(X[0])), "Not existing vector name error: gone"),
        (q.Vectors(vector=dense(X[0, :5])), "expected dim: 16, got 5"),
        (q.Vectors(vector=dense([])), "expected dim: 16, got 0"),
        (q.Vectors(vector=q.Vector()), "expected dim: 16, got 0"),
        (named(multi=rows(X[:2, :5])), "expected dim: 8, got 5"),
        (q.Vectors(vector=SPARSE), "Conversion between sparse and regular"),
        (named(multi=SPARSE), "Conversion between sparse and regular"),
        (named(words=dense(X[0])), "Conversion between sparse and regular"),
        (named(words=rows(X[:2])), "Conversion between sparse and regular"),
        (q.Vectors(vector=rows(X[:2])), "Conversion between multi and regular"),
        (q.Vectors(vector=dense([*X[0, :15], np.nan])), "NaN or infinite"),
        (named(multi=rows([[*X[0, :7], np.inf]])), "NaN or infinite"),
        (named(lost=dense([*X[0, :7], -np.inf])), "NaN or infinite"),
        (named(words=q.Vector(sparse=q.SparseVector(indices=[1], values=[np.nan]))), "NaN or infinite"),
        (q.Vectors(vector=q.Vector(document=q.Document(text="secret"))), "inference input"),
    ],
)
def test_vectors_that_do_not_fit_are_refused(shield, vectors, said):
    good = q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors(vector=dense(X[0])))
    with pytest.raises(InvalidArgument, match=said):
        protect_points(shield, [good, q.PointStruct(id=q.PointId(num=2), vectors=vectors)])


def test_a_point_without_id_is_refused(shield):
    with pytest.raises(InvalidArgument, match="Empty ID is not allowed"):
        protect_points(shield, [q.PointStruct(vectors=q.Vectors(vector=dense(X[0])))])


def test_the_limit_of_the_policy_holds_for_every_write_of_many_points():
    record = record_of()
    limited = policy_of([record]).model_copy(update={"limits": Limits(max_batch=2)})
    shield = shield_of(record, policy=limited)
    point = q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors(vector=dense(X[0])))
    vectors = q.PointVectors(id=q.PointId(num=1), vectors=q.Vectors(vector=dense(X[0])))
    for count in (2, 3):
        for operation in (
            Operation(upsert=Operation.PointStructList(points=[point] * count)),
            Operation(update_vectors=Operation.UpdateVectors(points=[vectors] * count)),
            Operation(set_payload=Operation.SetPayload(points_selector=ids(*range(count)))),
            Operation(overwrite_payload=Operation.OverwritePayload(points_selector=ids(*range(count)))),
        ):
            if count == 2:
                assert run(operation, shield)
            else:
                with pytest.raises(LimitExceeded, match="3 points in one write: the policy allows 2"):
                    run(operation, shield)


# -- payload -----------------------------------------------------------------------------------------------------------


def test_set_payload_by_ids_is_one_bound_operation_a_point(shield):
    ask = Operation.SetPayload(
        payload={"secret": text("s"), "open": text("o")}, points_selector=ids(1, 2), shard_key_selector=SHARD
    )
    stored = run(Operation(set_payload=ask), shield)
    assert len(stored) == 2
    for number, operation in enumerate(stored, 1):
        one = operation.set_payload
        assert (one.key, one.points_selector, one.shard_key_selector) == ("_p", ids(number), SHARD)
        assert one.payload["open"].string_value == "o"
        assert shield.fields.reveal(("secret",), one.payload["secret"].string_value, num_id(number)) == "s"
    assert stored[0].set_payload.payload["secret"] != stored[1].set_payload.payload["secret"]


def test_set_payload_below_a_key_takes_the_modes_of_that_place(shield):
    ask = Operation.SetPayload(payload={"open": text("o"), "x": text("w")}, points_selector=ids(1), key="deep")
    (operation,) = run(Operation(set_payload=ask), shield)
    assert operation.set_payload.key == "_p.deep"
    assert operation.set_payload.payload["open"].string_value == "o"
    assert operation.set_payload.payload["x"].string_value == shield.fields.protect(("deep", "x"), "w", None)


def test_set_payload_by_filter_seals_unbound_and_rewrites_the_filter(shield):
    ask = Operation.SetPayload(payload={"secret": text("s")}, points_selector=BY_FILTER)
    (operation,) = run(Operation(set_payload=ask), shield)
    one = operation.set_payload
    condition = one.points_selector.filter.must[0].field
    assert (condition.key, condition.match.keyword) == ("_p.word", shield.fields.protect(("word",), "k", None))
    for number in (1, 2):
        assert client_payload({"_p": q.Value(struct_value=q.Struct(fields=one.payload))}, shield, number) == {
            "secret": "s"
        }


@pytest.mark.parametrize("key", [None, "deep"])
def test_overwrite_payload_replaces_the_clients_part_and_only_that(shield, key):
    ask = Operation.OverwritePayload(payload={"secret": text("s")}, points_selector=ids(1), key=key)
    (operation,) = run(Operation(overwrite_payload=ask), shield)
    one = operation.set_payload
    assert not one.HasField("key")
    assert list(one.payload) == ["_p"]
    assert client_payload(one.payload, shield, 1) == {"secret": "s"}
    (operation,) = run(Operation(overwrite_payload=Operation.OverwritePayload(points_selector=ids(1))), shield)
    assert operation.set_payload.payload["_p"].HasField("struct_value")


def test_payload_of_no_points_is_still_an_operation(shield):
    for kind, message in (
        ("set_payload", Operation.SetPayload),
        ("overwrite_payload", Operation.OverwritePayload),
    ):
        ask = message(payload={"secret": text("s")}, points_selector=ids())
        (operation,) = run(Operation(**{kind: ask}), shield)
        assert operation.set_payload.points_selector == ids()
        assert not operation.set_payload.payload


def test_a_malformed_key_is_refused(shield):
    for key in ("a b", "a..b"):
        with pytest.raises(InvalidArgument, match="Invalid json path"):
            run(Operation(set_payload=Operation.SetPayload(points_selector=ids(1), key=key)), shield)
        ask = Operation.DeletePayload(keys=["good", key], points_selector=ids(1))
        with pytest.raises(InvalidArgument, match="Invalid json path"):
            run(Operation(delete_payload=ask), shield)


def test_delete_payload_names_the_stored_fields(shield):
    ask = Operation.DeletePayload(keys=["a.b[]", "_vg"], points_selector=BY_FILTER, shard_key_selector=SHARD)
    (operation,) = run(Operation(delete_payload=ask), shield)
    assert list(operation.delete_payload.keys) == ["_p.a.b[]", "_p._vg"]
    assert operation.delete_payload.points_selector.filter.must[0].field.key == "_p.word"
    assert operation.delete_payload.shard_key_selector == SHARD


def test_clear_payload_deletes_the_clients_part_and_keeps_the_record(shield):
    ask = Operation.ClearPayload(points=ids(1, 2), shard_key_selector=SHARD)
    (operation,) = run(Operation(clear_payload=ask), shield)
    expected = Operation.DeletePayload(keys=["_p"], points_selector=ids(1, 2), shard_key_selector=SHARD)
    assert operation.delete_payload == expected
    (operation,) = run(Operation(clear_payload_deprecated=BY_FILTER), shield)
    assert list(operation.delete_payload.keys) == ["_p"]
    assert operation.delete_payload.points_selector.filter.must[0].field.key == "_p.word"
    assert not operation.delete_payload.HasField("shard_key_selector")


# -- vectors -----------------------------------------------------------------------------------------------------------


def update(number, **vectors):
    return q.PointVectors(id=q.PointId(num=number), vectors=named(**vectors))


def test_vectors_are_updated_between_their_pending_and_final_entries(shield):
    points = [
        update(1, other=dense(X[0, :8]), words=SPARSE),
        update(2, other=dense(X[1, :8])),
        update(4, other=dense(X[2, :8])),
        update(3, lost=dense(X[2, :8])),
    ]
    stored = run(Operation(update_vectors=Operation.UpdateVectors(points=points, shard_key_selector=SHARD)), shield)
    kinds = [operation.WhichOneof("operation") for operation in stored]
    assert kinds == ["set_payload"] * 3 + ["update_vectors"] * 3 + ["set_payload"] * 3
    pending, vectors, final = stored[:3], [one.update_vectors for one in stored[3:6]], stored[6:]
    assert [one.set_payload.key for one in (*pending, *final)] == ["_vgn"] * 6
    assert [one.set_payload.points_selector for one in pending] == [ids(1), ids(2), ids(4)]
    assert all(one.set_payload.shard_key_selector == SHARD for one in (*pending, *final))
    assert all(one.shard_key_selector == SHARD for one in vectors)
    # Points that bring the same names go together.
    assert [[point.id.num for point in one.points] for one in vectors] == [[1], [2, 4], [3]]
    assert set(final[0].set_payload.payload) == {f"f_{name.encode().hex()}" for name in ("other", "words")}
    for before, after in zip(pending, final, strict=True):
        waiting, settled = (
            {key[2:]: entry for key, entry in one.set_payload.payload.items()} for one in (before, after)
        )
        assert waiting == settled
        assert {key[:2] for key in after.set_payload.payload} == {"f_"}
        assert {key[:2] for key in before.set_payload.payload} <= {"0_", "1_", "2_", "3_"}


def test_vectors_and_final_entries_are_written_only_where_the_new_entry_still_stands(shield):
    points = [update(1, other=dense(X[0, :8])), update(2, other=dense(X[1, :8]))]
    first, second, vectors, *final = run(Operation(update_vectors=Operation.UpdateVectors(points=points)), shield)

    def standing(condition):
        """Which texts a condition wants in which slots."""
        fields = [inner.field for outer in condition.must for inner in outer.filter.should]
        return {(field.key, text) for field in fields for text in field.match.keywords.strings}

    wanted = [
        {(f"_vgn.{key}", entry.string_value) for key, entry in one.set_payload.payload.items()}
        for one in (first, second)
    ]
    assert standing(vectors.update_vectors.update_filter) == wanted[0] | wanted[1]
    for number, operation in enumerate(final, 1):
        by_id, condition = operation.set_payload.points_selector.filter.must
        assert by_id.filter.must[0].has_id.has_id[0].num == number
        assert standing(condition.filter) == wanted[number - 1]


def test_at_every_moment_of_an_update_the_stored_vector_opens(shield):
    """Whatever a crash leaves: the record with what was written so far fits the vector that is there then."""
    point = q.PointStruct(id=q.PointId(num=1), vectors=named(other=dense(X[0, :8])))
    protect_points(shield, [point])
    ask = Operation.UpdateVectors(points=[update(1, other=dense(X[1, :8]))])
    pending, vectors, final = run(Operation(update_vectors=ask), shield)

    def value():
        found = reveal.open_vectors(shield, [as_read(point)], "other")
        return found.vectors[0].data

    np.testing.assert_allclose(value(), X[0, :8], atol=1e-5)
    point.payload["_vgn"].struct_value.fields.MergeFrom(pending.set_payload.payload)
    np.testing.assert_allclose(value(), X[0, :8], atol=1e-5)
    point.vectors.CopyFrom(vectors.update_vectors.points[0].vectors)
    np.testing.assert_allclose(value(), X[1, :8], atol=1e-5)
    point.payload["_vgn"].struct_value.fields.MergeFrom(final.set_payload.payload)
    np.testing.assert_allclose(value(), X[1, :8], atol=1e-5)


def test_a_conditional_update_puts_its_condition_on_every_part(shield):
    condition = q.Filter(must=[q.Condition(field=q.FieldCondition(key="word", match=q.Match(keyword="k")))])
    ask = Operation.UpdateVectors(points=[update(1, other=dense(X[0, :8]))], update_filter=condition)
    pending, vectors, final = run(Operation(update_vectors=ask), shield)
    rewritten = q.Filter(must=[q.Condition(field=q.FieldCondition(key="_p.word", match=q.Match(keyword=TOKEN)))])
    only = q.Filter(must=[q.Condition(has_id=q.HasIdCondition(has_id=[q.PointId(num=1)]))])
    by_id, clients = pending.set_payload.points_selector.filter.must
    assert (by_id.filter, clients.filter) == (only, rewritten)
    clients, standing = vectors.update_vectors.update_filter.must
    assert clients.filter == rewritten
    by_id, both = final.set_payload.points_selector.filter.must
    assert by_id.filter == only
    assert [part.filter for part in both.filter.must] == [rewritten, standing.filter]


def test_an_empty_condition_updates_the_point_and_no_other(shield):
    ask = Operation.UpdateVectors(points=[update(7, other=dense(X[0, :8]))], update_filter=q.Filter())
    pending, vectors, final = run(Operation(update_vectors=ask), shield)
    assert pending.set_payload.points_selector == ids(7)
    by_id, _ = final.set_payload.points_selector.filter.must
    assert by_id.filter.must[0].has_id.has_id[0].num == 7
    assert [point.id.num for point in vectors.update_vectors.points] == [7]


def test_vectors_without_entries_need_no_record(shield):
    ask = Operation.UpdateVectors(points=[update(1, lost=dense(X[0, :8]))])
    (operation,) = run(Operation(update_vectors=ask), shield)
    assert operation.WhichOneof("operation") == "update_vectors"
    (operation,) = run(Operation(update_vectors=Operation.UpdateVectors()), shield)
    assert operation.WhichOneof("operation") == "update_vectors"


# -- selectors ---------------------------------------------------------------------------------------------------------


def test_filters_of_upserts_and_deletions_are_rewritten(shield):
    names = q.VectorsSelector(names=["other"])
    point = q.PointStruct(id=q.PointId(num=1), vectors=q.Vectors(vector=dense(X[0])))
    places = {
        "upsert": (
            lambda selector: Operation.PointStructList(points=[point], update_filter=selector.filter),
            lambda one: one.update_filter,
        ),
        "delete_points": (lambda s: Operation.DeletePoints(points=s), lambda one: one.points.filter),
        "delete_deprecated": (lambda s: s, lambda one: one.filter),
        "delete_vectors": (
            lambda s: Operation.DeleteVectors(points_selector=s, vectors=names),
            lambda one: one.points_selector.filter,
        ),
    }
    for kind, (make, read) in places.items():
        (operation,) = run(Operation(**{kind: make(BY_FILTER)}), shield)
        assert operation.WhichOneof("operation") == kind
        assert read(getattr(operation, kind)).must[0].field.key == "_p.word"
        refused = Operation(**{kind: make(q.PointsSelector(filter=SEALED_FILTER))})
        with pytest.raises(InvalidArgument, match="its mode is sealed"):
            run(refused, shield)
    (operation,) = run(Operation(delete_points=Operation.DeletePoints(points=ids(1))), shield)
    assert operation.delete_points.points == ids(1)


@pytest.mark.parametrize("kind", ["set_payload", "overwrite_payload", "delete_payload", "clear_payload"])
def test_a_filter_on_a_sealed_field_is_refused_in_payload_operations(shield, kind):
    selector = q.PointsSelector(filter=SEALED_FILTER)
    ask = {
        "set_payload": Operation.SetPayload(points_selector=selector),
        "overwrite_payload": Operation.OverwritePayload(points_selector=selector),
        "delete_payload": Operation.DeletePayload(points_selector=selector),
        "clear_payload": Operation.ClearPayload(points=selector),
    }[kind]
    with pytest.raises(InvalidArgument, match="its mode is sealed"):
        run(Operation(**{kind: ask}), shield)


def test_an_empty_operation_is_refused_and_every_kind_of_the_api_is_known(shield):
    with pytest.raises(InvalidArgument, match="Operation is missing"):
        run(Operation(), shield)
    assert {f.name for f in Operation.DESCRIPTOR.oneofs_by_name["operation"].fields} == {
        *("upsert", "set_payload", "overwrite_payload", "delete_payload", "clear_payload", "clear_payload_deprecated"),
        *("update_vectors", "delete_vectors", "delete_points", "delete_deprecated"),
    }
