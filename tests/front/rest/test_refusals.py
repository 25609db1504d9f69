"""Errors have Qdrant's HTTP codes and its JSON form."""

from __future__ import annotations

import grpc
import pytest

from front.rest.openapi import check
from vecguard import errors
from vecguard.front.rest.refusals import Refusal, code_and_text, error, headers, validation


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (errors.InvalidArgument("x"), 400),
        (errors.UnknownField("x"), 400),
        (errors.NotFound("x"), 404),
        (errors.AlreadyExists("x"), 409),
        (errors.FailedPrecondition("x"), 403),
        (errors.Denied("x"), 403),
        (errors.Refused("x"), 501),
        (errors.LimitExceeded("x"), 429),
        (errors.Unavailable("x"), 503),
        (errors.UpstreamFailure("DEADLINE_EXCEEDED", "x"), 408),
        (errors.UpstreamFailure("UNAUTHENTICATED", "x"), 401),
        (errors.UpstreamFailure("INTERNAL", "x"), 500),
        (errors.UpstreamFailure("UNKNOWN", "x"), 500),
    ],
)
def test_codes(failure: errors.VecGuardError, code: int) -> None:
    assert code_and_text(failure) == (code, "x")


def test_what_cannot_be_opened_is_an_error_of_the_server() -> None:
    assert code_and_text(errors.Unreadable()) == (500, errors.Unreadable.TEXT)


@pytest.mark.parametrize("status", grpc.StatusCode)
def test_no_status_is_told_as_a_success(status: grpc.StatusCode) -> None:
    assert 400 <= code_and_text(errors.UpstreamFailure(status.name, ""))[0] < 600


def test_validation_is_told_apart_in_the_words_of_rest() -> None:
    failure = errors.InvalidArgument("Validation error in body: [limit: value 0 invalid, must be 1 or larger]")
    assert code_and_text(failure) == (
        422,
        "Validation error in JSON body: [limit: value 0 invalid, must be 1 or larger]",
    )
    refusal = validation("JSON body", "limit: wrong")
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.text) == (422, "Validation error in JSON body: [limit: wrong]")


def test_when_to_come_back_is_passed_on() -> None:
    trailing = (("retry-after", "7"), ("other", "x"), ("retry-after-bin", b"8"))
    assert headers(errors.UpstreamFailure("RESOURCE_EXHAUSTED", "x", trailing)) == {"retry-after": "7"}
    assert headers(errors.UpstreamFailure("RESOURCE_EXHAUSTED", "x", (("retry-after", "7\r\nx: y"),))) == {}
    assert headers(errors.LimitExceeded("x")) == {}


def test_the_form_is_that_of_the_document() -> None:
    check("GET", "/collections", 404, error("Not found: it", 0.25))
