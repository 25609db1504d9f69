"""OpenTelemetry traces, made from the trail's events: a span a call, and one below it for each stretch in a stage.

Spans are made when the call is over, with the times that its clock took, so tracing costs a call nothing on its way.
They carry what the trail carries: no vectors, no payload, no keys. Where they go and how many are kept is said by
OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, ...).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from vecguard.stages import current

_CALLER: Final = frozenset({"INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "CANCELLED", "OUT_OF_RANGE"})
_PROPAGATOR: Final = TraceContextTextMapPropagator()


class Tracing:
    """Makes spans of events. A sink of the trail, called while the call's clock is the current one."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        """`exporter` takes the spans; OTLP over gRPC where none is given."""
        self._provider = TracerProvider(resource=Resource.create({"service.name": "vecguard"}))
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("vecguard")

    def __call__(self, event: str, **fields: object) -> None:
        """Make the spans of a call that is over."""
        clock = current()
        if event != "call" or clock is None:
            return
        # Clocks of calls are monotonic; spans want the time of day.
        offset = time.time() - time.monotonic()
        parent = _PROPAGATOR.extract({"traceparent": clock.parent}) if clock.parent else None
        span = self._tracer.start_span(
            str(fields["rpc"]),
            parent,
            SpanKind.SERVER,
            attributes=_attributes(fields),
            start_time=_nanoseconds(clock.started + offset),
        )
        if span.is_recording():
            within = set_span_in_context(span)
            for stage, start, end in clock.intervals:
                below = self._tracer.start_span(stage, within, start_time=_nanoseconds(start + offset))
                below.end(_nanoseconds(end + offset))
        if fields["status"] != "OK" and fields["status"] not in _CALLER:
            span.set_status(Status(StatusCode.ERROR))
        span.end(_nanoseconds(time.time()))

    def close(self) -> None:
        """Send what waits, and stop."""
        self._provider.shutdown()


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)


def _attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Of the semantic conventions for RPC what there is a name for; the rest under a name of ours."""
    service, _, method = str(fields["rpc"]).strip("/").partition("/")
    named = {
        "rpc.system": fields["protocol"],
        "rpc.service": service,
        "rpc.method": method,
        "enduser.id": fields["principal"],
        "vecguard.request_id": fields["request_id"],
        "vecguard.status": fields["status"],
        "vecguard.collections": fields["collections"],
        "vecguard.candidates": fields.get("candidates"),
        "vecguard.cause": fields.get("cause"),
    }
    return {name: value for name, value in named.items() if value is not None}
