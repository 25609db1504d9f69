"""Who may use the control plane: who holds a key of its own; nobody else's key is one."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc

from vecguard.policy.credentials import key_digest, sha256

_HEALTH: Final = "/grpc.health.v1.Health/"
_SCHEME: Final = "bearer "
_REFUSED: Final = "the control plane wants its own key: `authorization: Bearer KEY`"


class RequireKey(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in the stubs only
    """Lets through calls with `authorization: Bearer KEY`; and health checks, which tell nothing else."""

    def __init__(self, expected: str) -> None:
        """`expected` is `sha256:HEX` of the key. Raises ValueError: it is not."""
        self._expected = key_digest(expected)
        self._refusal = grpc.unary_unary_rpc_method_handler(_refuse)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Let a call through, or refuse it."""
        if handler_call_details.method.startswith(_HEALTH) or self._holds(handler_call_details):
            return await continuation(handler_call_details)
        return self._refusal

    def _holds(self, details: grpc.HandlerCallDetails) -> bool:
        given = [value for name, value in details.invocation_metadata or () if name == "authorization"]
        if len(given) != 1 or not isinstance(given[0], str) or not given[0].lower().startswith(_SCHEME):
            return False
        # Digests are compared, in constant time: how long it takes tells nothing of the key.
        return hmac.compare_digest(sha256(given[0][len(_SCHEME) :].strip()), self._expected)


async def _refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, _REFUSED)
