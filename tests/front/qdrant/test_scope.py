"""What is ours stays outside of what clients can name, and selectors ask for what is wanted and no more."""

import pytest
from qdrant_client import grpc as q

from vecguard.errors import InvalidArgument
from vecguard.front.qdrant.scope import (
    client_path,
    stored_path,
    stored_selector,
    vectors_selector,
    wanted_vectors,
    wants_payload,
)

NOTHING = q.WithPayloadSelector()
OFF = q.WithPayloadSelector(enable=False)
ALL = q.WithPayloadSelector(enable=True)
SOME = q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=["a", "b.c"]))
REST = q.WithPayloadSelector(exclude=q.PayloadExcludeSelector(fields=["a", "b.c"]))


def include(*paths):
    return q.WithPayloadSelector(include=q.PayloadIncludeSelector(fields=paths))


def exclude(*paths):
    return q.WithPayloadSelector(exclude=q.PayloadExcludeSelector(fields=paths))


@pytest.mark.parametrize("path", ["a", "a.b[]", '"x.y"', "_vg", "_p", "_p._vg"])
def test_paths_come_back(path):
    assert client_path(stored_path(path)) == path


@pytest.mark.parametrize("ours", ["_vg", "_vgn", "_vgn.f_", "_p", "other"])
def test_what_is_ours_has_no_path_for_clients(ours):
    assert client_path(ours) is None


@pytest.mark.parametrize(
    ("selector", "wanted"), [(NOTHING, False), (OFF, False), (ALL, True), (SOME, True), (REST, True)]
)
def test_whether_any_payload_is_wanted(selector, wanted):
    assert wants_payload(selector) == wanted


@pytest.mark.parametrize(
    ("selector", "record", "stored"),
    [
        (NOTHING, False, OFF),
        (OFF, False, OFF),
        (NOTHING, True, include("_vg", "_vgn")),
        (OFF, True, include("_vg", "_vgn")),
        (ALL, False, include("_p")),
        (ALL, True, include("_p", "_vg", "_vgn")),
        (SOME, False, include("_p.a", "_p.b.c")),
        (SOME, True, include("_p.a", "_p.b.c", "_vg", "_vgn")),
        (REST, False, exclude("_p.a", "_p.b.c", "_vg", "_vgn")),
        (REST, True, exclude("_p.a", "_p.b.c")),
    ],
)
def test_payload_selectors_move_under_the_stored_payload(selector, record, stored):
    before = selector.SerializeToString()
    assert stored_selector(selector, record=record) == stored
    assert selector.SerializeToString() == before


NAMES = ["", "title", "words"]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        (q.WithVectorsSelector(), []),
        (q.WithVectorsSelector(enable=False), []),
        (q.WithVectorsSelector(enable=True), NAMES),
        (q.WithVectorsSelector(include=q.VectorsSelector(names=["words", ""])), ["words", ""]),
        (q.WithVectorsSelector(include=q.VectorsSelector()), []),
    ],
)
def test_which_vectors_are_wanted(selector, names):
    assert wanted_vectors(selector, NAMES) == names


def test_a_vector_that_is_not_there_is_refused_in_the_words_of_qdrant():
    with pytest.raises(InvalidArgument, match="Not existing vector name error: gone"):
        wanted_vectors(q.WithVectorsSelector(include=q.VectorsSelector(names=["title", "gone"])), NAMES)


@pytest.mark.parametrize(
    ("names", "everything", "selector"),
    [
        ([], NAMES, q.WithVectorsSelector(enable=False)),
        (["words", "title", ""], NAMES, q.WithVectorsSelector(enable=True)),
        ([""], [""], q.WithVectorsSelector(enable=True)),
        (["title"], NAMES, q.WithVectorsSelector(include=q.VectorsSelector(names=["title"]))),
    ],
)
def test_vectors_are_asked_for_by_name_or_all_at_once(names, everything, selector):
    assert vectors_selector(names, everything) == selector
