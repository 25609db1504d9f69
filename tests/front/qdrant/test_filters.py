"""Each kind of condition on each mode: answered on protected data, or refused with the field's name and mode."""

import pytest
from qdrant_client import grpc as q
from shields import ring_of, shield_of

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant import filters
from vecguard.policy.model import PayloadRule
from vecguard.policy.paths import parse

UUID = "936da01f-9abd-4d9d-80c7-02af85c822a8"
FIELD = {"plain": "open", "searchable": "word", "sealed": "secret"}

MATCHES = {
    "keyword": q.Match(keyword="k"),
    "integer": q.Match(integer=7),
    "boolean": q.Match(boolean=True),
    "keywords": q.Match(keywords=q.RepeatedStrings(strings=["k", "l"])),
    "integers": q.Match(integers=q.RepeatedIntegers(integers=[7, 8])),
    "except_keywords": q.Match(except_keywords=q.RepeatedStrings(strings=["k", "l"])),
    "except_integers": q.Match(except_integers=q.RepeatedIntegers(integers=[7, 8])),
}
TEXTS = {
    "text": q.Match(text="k"),
    "text_any": q.Match(text_any="k l"),
    "phrase": q.Match(phrase="k l"),
    "prefix": q.Match(prefix="k"),
    "substring": q.Match(substring="k"),
}
CONTENT = {
    "range": {"range": q.Range(lt=1.0)},
    "datetime_range": {"datetime_range": q.DatetimeRange()},
    "geo_bounding_box": {"geo_bounding_box": q.GeoBoundingBox(top_left=q.GeoPoint(lon=1))},
    "geo_radius": {"geo_radius": q.GeoRadius(radius=1)},
    "geo_polygon": {"geo_polygon": q.GeoPolygon(exterior=q.GeoLineString(points=[q.GeoPoint(lon=1)]))},
}
SHAPE = {
    "values_count": {"values_count": q.ValuesCount(gt=1)},
    "is_empty": {"is_empty": True},
    "is_null": {"is_null": True},
}


def field(key, **parts):
    return q.Condition(field=q.FieldCondition(key=key, **parts))


def must(*conditions):
    return q.Filter(must=conditions)


def rewritten(message, fields):
    stored = q.Filter()
    stored.CopyFrom(message)
    filters.rewrite(stored, fields)
    return stored


def one(condition, fields):
    return rewritten(must(condition), fields).must[0]


def token(fields, value, path="word"):
    return fields.protect(parse(path), value, None)


# -- matches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", MATCHES)
def test_a_match_on_a_plain_field_moves_and_stays_itself(fields, kind):
    assert one(field("open", match=MATCHES[kind]), fields) == field("_p.open", match=MATCHES[kind])


@pytest.mark.parametrize(
    ("kind", "values", "negated"),
    [
        ("keyword", ["k"], False),
        ("integer", [7], False),
        ("boolean", [True], False),
        ("keywords", ["k", "l"], False),
        ("integers", [7, 8], False),
        ("except_keywords", ["k", "l"], True),
        ("except_integers", [7, 8], True),
    ],
)
def test_a_match_on_a_searchable_field_becomes_one_of_tokens(fields, kind, values, negated):
    match = one(field("word", match=MATCHES[kind]), fields).field.match
    tokens = [token(fields, value) for value in values]
    if negated:
        assert match == q.Match(except_keywords=q.RepeatedStrings(strings=tokens))
    elif len(tokens) == 1:
        assert match == q.Match(keyword=tokens[0])
    else:
        assert match == q.Match(keywords=q.RepeatedStrings(strings=tokens))


@pytest.mark.parametrize("kind", MATCHES)
def test_a_match_on_a_sealed_field_is_refused(fields, kind):
    with pytest.raises(InvalidArgument) as refusal:
        one(field("secret", match=MATCHES[kind]), fields)
    assert str(refusal.value) == (
        "a match cannot be answered on field `secret`: its mode is sealed (collections[0].payload.default); "
        "it needs mode plain or searchable in the policy (payload.fields), from the collection's creation on"
    )


def test_tokens_differ_by_type_as_values_do(fields):
    kinds = [q.Match(integer=1), q.Match(boolean=True), q.Match(keyword="1")]
    tokens = [one(field("word", match=match), fields).field.match.keyword for match in kinds]
    assert tokens == [token(fields, 1), token(fields, True), token(fields, "1")]
    assert len(set(tokens)) == 3


def test_during_a_key_rotation_a_match_asks_for_the_tokens_of_every_live_key():
    both, old = shield_of(ring=ring_of(1, 2)).fields, shield_of(ring=ring_of(1)).fields
    match = one(field("word", match=q.Match(keyword="k")), both).field.match
    assert match == q.Match(keywords=q.RepeatedStrings(strings=[token(both, "k"), token(old, "k")]))
    match = one(field("word", match=MATCHES["except_integers"]), both).field.match
    assert len(match.except_keywords.strings) == 4


@pytest.mark.parametrize("kind", ["keywords", "integers"])
def test_a_match_of_nothing_stays_one(fields, kind):
    empty = {"keywords": q.RepeatedStrings(), "integers": q.RepeatedIntegers()}[kind]
    match = one(field("word", match=q.Match(**{kind: empty})), fields).field.match
    assert match == q.Match(keywords=q.RepeatedStrings())
    match = one(field("word", match=q.Match(**{f"except_{kind}": empty})), fields).field.match
    assert match == q.Match(except_keywords=q.RepeatedStrings())


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("mode", ["plain", "searchable", "sealed"])
def test_text_is_searched_in_plain_fields_only(fields, kind, mode):
    condition = field(FIELD[mode], match=TEXTS[kind])
    if mode == "plain":
        assert one(condition, fields) == field("_p.open", match=TEXTS[kind])
    else:
        with pytest.raises(InvalidArgument, match=rf"match cannot be answered on field `{FIELD[mode]}`.* is {mode}"):
            one(condition, fields)


@pytest.mark.parametrize("mode", ["plain", "searchable", "sealed"])
def test_an_empty_match_is_refused(fields, mode):
    with pytest.raises(InvalidArgument, match="holds nothing that is known here"):
        one(field(FIELD[mode], match=q.Match()), fields)


# -- other conditions on fields ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONTENT)
@pytest.mark.parametrize("mode", ["plain", "searchable", "sealed"])
def test_order_and_place_are_known_of_plain_fields_only(fields, kind, mode):
    condition = field(FIELD[mode], **CONTENT[kind])
    if mode == "plain":
        assert one(condition, fields) == field("_p.open", **CONTENT[kind])
    else:
        with pytest.raises(InvalidArgument, match=rf"filter cannot be answered on field `{FIELD[mode]}`.* is {mode}"):
            one(condition, fields)


@pytest.mark.parametrize("kind", SHAPE)
@pytest.mark.parametrize("mode", ["plain", "searchable", "sealed"])
def test_shape_is_known_of_every_field(fields, kind, mode):
    path = FIELD[mode]
    assert one(field(path, **SHAPE[kind]), fields) == field(f"_p.{path}", **SHAPE[kind])


def test_all_parts_of_one_condition_are_looked_at(fields):
    both = field("word", match=q.Match(keyword="k"), **CONTENT["range"])
    with pytest.raises(InvalidArgument, match="a range filter cannot be answered on field `word`"):
        one(both, fields)
    allowed = one(field("word", match=q.Match(keyword="k"), **SHAPE["values_count"]), fields)
    assert allowed == field("_p.word", match=q.Match(keyword=token(fields, "k")), **SHAPE["values_count"])


@pytest.mark.parametrize("mode", ["plain", "searchable", "sealed"])
def test_emptiness_and_null_are_known_of_every_field(fields, mode):
    path = FIELD[mode]
    assert one(q.Condition(is_empty=q.IsEmptyCondition(key=path)), fields).is_empty.key == f"_p.{path}"
    assert one(q.Condition(is_null=q.IsNullCondition(key=path)), fields).is_null.key == f"_p.{path}"


@pytest.mark.parametrize("path", ["", "a b", "a..b", '"', "a[", "."])
def test_a_path_that_is_none_is_refused_in_every_condition(fields, path):
    for condition in (
        field(path, match=q.Match(keyword="k")),
        field(path, **SHAPE["is_empty"]),
        field(path),
        q.Condition(is_empty=q.IsEmptyCondition(key=path)),
        q.Condition(is_null=q.IsNullCondition(key=path)),
        q.Condition(nested=q.NestedCondition(key=path, filter=must())),
    ):
        with pytest.raises(InvalidArgument, match="Invalid json path"):
            one(condition, fields)


@pytest.mark.parametrize("path", ["_vg", "_p", "_vgn", "_vgn.f_", '"_vg"', "_p._vg"])
def test_what_is_ours_cannot_be_asked_about(fields, path):
    """The path moves under the client's payload, where nothing of ours lies."""
    condition = one(q.Condition(is_empty=q.IsEmptyCondition(key=path)), fields)
    assert condition.is_empty.key == f"_p.{path}"


@pytest.mark.parametrize(
    "condition",
    [
        q.Condition(has_id=q.HasIdCondition(has_id=[q.PointId(num=1), q.PointId(uuid=UUID)])),
        q.Condition(has_vector=q.HasVectorCondition(has_vector="title")),
        q.Condition(slice=q.SliceCondition()),
    ],
)
def test_ids_and_vector_names_stay_as_they_are(fields, condition):
    assert one(condition, fields) == condition


# -- trees -------------------------------------------------------------------------------------------------------------


def test_every_clause_is_rewritten(fields):
    condition = field("word", match=q.Match(keyword="k"))
    message = q.Filter(
        must=[condition],
        must_not=[condition],
        should=[condition],
        min_should=q.MinShould(conditions=[condition, condition], min_count=1),
    )
    stored = rewritten(message, fields)
    expected = field("_p.word", match=q.Match(keyword=token(fields, "k")))
    assert stored.min_should.min_count == 1
    for clause in (stored.must, stored.must_not, stored.should):
        assert list(clause) == [expected]
    assert list(stored.min_should.conditions) == [expected, expected]
    for clause in ("must", "must_not", "should"):
        with pytest.raises(InvalidArgument, match="sealed"):
            rewritten(q.Filter(**{clause: [field("secret", match=q.Match(keyword="k"))]}), fields)
    refused = q.MinShould(conditions=[field("secret", match=q.Match(keyword="k"))], min_count=1)
    with pytest.raises(InvalidArgument, match="sealed"):
        rewritten(q.Filter(min_should=refused), fields)


def test_an_absent_clause_stays_absent(fields):
    stored = rewritten(must(field("open", match=q.Match(keyword="k"))), fields)
    assert not stored.HasField("min_should")
    assert not stored.should
    assert rewritten(q.Filter(), fields) == q.Filter()


def test_filters_in_filters_are_rewritten(fields):
    inner = must(field("word", match=q.Match(keyword="k")))
    stored = rewritten(q.Filter(must_not=[q.Condition(filter=q.Filter(should=[q.Condition(filter=inner)]))]), fields)
    assert stored.must_not[0].filter.should[0].filter.must[0].field.match.keyword == token(fields, "k")


def test_a_nested_filter_counts_its_paths_from_its_own_place(fields):
    deeper = q.NestedCondition(key="open[]", filter=must(field("x", **CONTENT["range"])))
    nested = q.NestedCondition(
        key="deep[]",
        filter=must(
            field("word", match=q.Match(keyword="k")),
            q.Condition(nested=deeper),
            q.Condition(is_null=q.IsNullCondition(key="y")),
        ),
    )
    stored = one(q.Condition(nested=nested), fields).nested
    assert stored.key == "_p.deep[]"
    match, inner, null = stored.filter.must
    assert match == field("word", match=q.Match(keyword=token(fields, "k", "deep.word")))
    assert token(fields, "k", "deep.word") != token(fields, "k")
    assert (inner.nested.key, inner.nested.filter.must[0].field.key) == ("open[]", "x")
    assert null.is_null.key == "y"


def test_a_nested_filter_is_refused_by_the_mode_at_its_own_place(fields):
    # `open` is plain, `deep.x` is searchable: the same words mean another field below `deep`.
    with pytest.raises(InvalidArgument, match=r"field `deep\.x`: its mode is searchable"):
        one(q.Condition(nested=q.NestedCondition(key="deep", filter=must(field("x", **CONTENT["range"])))), fields)
    inner = must(field("open", match=q.Match(keyword="k")))
    with pytest.raises(InvalidArgument, match=r"field `secret\.open`: its mode is sealed"):
        one(q.Condition(nested=q.NestedCondition(key="secret", filter=inner)), fields)


def test_an_empty_condition_is_refused(fields):
    for message in (must(q.Condition()), must(q.Condition(filter=must(q.Condition())))):
        with pytest.raises(InvalidArgument, match="Malformed Condition type"):
            rewritten(message, fields)


def test_every_condition_of_the_api_is_known_here():
    """A newer client library that brings another condition must be looked at before it is used."""
    assert {f.name for f in q.Condition.DESCRIPTOR.oneofs_by_name["condition_one_of"].fields} == {
        *("field", "is_empty", "has_id", "filter", "is_null", "nested", "has_vector", "slice")
    }
    assert {f.name for f in q.FieldCondition.DESCRIPTOR.fields} == {"key", "match", *CONTENT, *SHAPE}
    assert {f.name for f in q.Match.DESCRIPTOR.fields} == {*MATCHES, *TEXTS}
    assert {f.name for f in q.Filter.DESCRIPTOR.fields} == {"must", "must_not", "should", "min_should"}


def test_a_single_condition_is_rewritten_alike(fields):
    condition = field("word", match=q.Match(keyword="k"))
    filters.rewrite_condition(condition, fields)
    assert condition == field("_p.word", match=q.Match(keyword=token(fields, "k")))
    with pytest.raises(InvalidArgument):
        filters.rewrite_condition(field("secret", match=q.Match(keyword="k")), fields)


def test_a_searchable_default_answers_on_every_field():
    everywhere = shield_of(payload=PayloadRule(default="searchable")).fields
    match = one(field('"any key"', match=q.Match(keyword="k")), everywhere).field
    assert (match.key, match.match.keyword) == ('_p."any key"', token(everywhere, "k", '"any key"'))


# -- combining ---------------------------------------------------------------------------------------------------------


def test_filters_are_joined_without_needless_layers():
    a, b = must(field("a", **SHAPE["is_null"])), must(field("b", **SHAPE["is_null"]))
    assert filters.merged() is None
    assert filters.merged(None, q.Filter()) is None
    assert filters.merged(None, a) == a
    assert filters.merged(a, q.Filter(), b) == must(q.Condition(filter=a), q.Condition(filter=b))


def test_ids_can_be_picked_or_left_out():
    ids = [q.PointId(num=1), q.PointId(uuid=UUID)]
    has = q.Condition(has_id=q.HasIdCondition(has_id=ids))
    assert filters.only_ids(ids) == must(has)
    assert filters.without_ids(ids) == q.Filter(must_not=[has])
