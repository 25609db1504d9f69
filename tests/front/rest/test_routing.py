"""Requests find their endpoint by method and path; others are told that there is none."""

from __future__ import annotations

import pytest

from vecguard.front.rest.refusals import Refusal
from vecguard.front.rest.routing import Router
from vecguard.front.rest.table import ENDPOINTS

ROUTER = Router(ENDPOINTS)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_every_row_is_found_with_its_parameters(endpoint) -> None:
    names = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    path = endpoint.path
    for number, name in enumerate(names):
        path = path.replace(f"{{{name}}}", f"x{number}")
    found, parameters = ROUTER.find(endpoint.method, path.encode())
    assert found is endpoint
    assert parameters == {name: f"x{number}" for number, name in enumerate(names)}


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"/collections/a%2Fb", "a/b"),
        (b"/collections/%C3%BC%20x", "ü x"),
        (b"/collections/%7B%7D", "{}"),
        (b"/collections/{}", "{}"),
        (b"/collections/a%3Fb", "a?b"),
        (b"/collections/..%2f..%2fsnapshots", "../../snapshots"),
        (b"/collections/%2e%2e", ".."),
    ],
)
def test_names_are_decoded_segment_by_segment(raw: bytes, name: str) -> None:
    endpoint, parameters = ROUTER.find("GET", raw)
    assert endpoint.path == "/collections/{collection_name}"
    assert parameters == {"collection_name": name}


def test_a_path_that_is_written_out_goes_before_a_parameter() -> None:
    assert ROUTER.find("POST", b"/collections/aliases")[0].path == "/collections/aliases"
    assert ROUTER.find("POST", b"/collections/c/points/search")[0].path.endswith("/points/search")


@pytest.mark.parametrize(
    ("method", "raw", "code"),
    [
        ("GET", b"/nope", 404),
        ("GET", b"/collections/", 404),
        ("GET", b"/collections//points/1", 404),
        ("GET", b"/collections/c/points/1/", 404),
        ("GET", b"//", 404),
        ("GET", b"/dashboard", 404),
        ("POST", b"/collections/c/points/query/extra", 404),
        ("GET", b"/collections/%ff", 404),
        ("GET", b"/collections/\xff", 404),
        ("GET", b"/{}", 404),
        ("HEAD", b"/", 405),
        ("OPTIONS", b"/collections", 405),
        ("DELETE", b"/collections/c/points", 405),
        ("get", b"/collections", 405),
    ],
)
def test_others_are_refused(method: str, raw: bytes, code: int) -> None:
    with pytest.raises(Refusal) as refused:
        ROUTER.find(method, raw)
    assert refused.value.code == code
    assert ("allow" in refused.value.headers) == (code == 405)
