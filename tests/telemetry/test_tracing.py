"""A call becomes a span with its stages below it, under the client's own trace where it has one."""

import asyncio

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from vecguard.stages import begin, stage
from vecguard.telemetry.tracing import Tracing

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


def traced(exporter, parent=None, status="OK", **fields):
    """The spans of one call, by name."""
    tracing = Tracing(exporter)

    async def call():
        begin(parent)
        with stage("auth"):
            pass
        with stage("upstream"):
            await asyncio.sleep(0.01)
        fields_of_call = {"principal": "ada", "collections": ["notes"], "request_id": "r1", **fields}
        tracing("call", rpc="/qdrant.Points/Query", protocol="grpc", status=status, ms=1.0, **fields_of_call)

    asyncio.run(call())
    tracing.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_call_has_its_stages_below_it(exporter):
    spans = traced(exporter)
    assert spans.keys() == {"/qdrant.Points/Query", "auth", "upstream"}
    call, upstream = spans["/qdrant.Points/Query"], spans["upstream"]
    assert upstream.parent.span_id == call.context.span_id
    assert call.parent is None
    assert call.start_time <= upstream.start_time < upstream.end_time <= call.end_time
    assert upstream.end_time - upstream.start_time >= 10_000_000
    assert call.attributes["rpc.method"] == "Query"
    assert call.attributes["vecguard.request_id"] == "r1"
    assert call.status.is_unset


def test_a_clients_trace_goes_on(exporter):
    call = traced(exporter, PARENT)["/qdrant.Points/Query"]
    assert format(call.context.trace_id, "032x") == PARENT.split("-")[1]
    assert format(call.parent.span_id, "016x") == PARENT.split("-")[2]


@pytest.mark.parametrize("parent", ["", "nonsense", "00-zz-zz-01", "x" * 10_000])
def test_what_is_no_trace_context_is_left_alone(exporter, parent):
    assert traced(exporter, parent)["/qdrant.Points/Query"].parent is None


@pytest.mark.parametrize(("status", "error"), [("UNAVAILABLE", True), ("DATA_LOSS", True), ("NOT_FOUND", False)])
def test_what_is_an_error_of_the_service_is_marked(exporter, status, error):
    assert traced(exporter, status=status)["/qdrant.Points/Query"].status.is_unset is not error


def test_events_outside_of_calls_make_no_spans(exporter):
    tracing = Tracing(exporter)
    tracing("call", rpc="/a/B", status="OK")
    tracing("policy reloaded")
    tracing.close()
    assert exporter.get_finished_spans() == ()
