"""Any RPC of Milvus' table, asked by any caller: what tests go through that hold the whole table to something."""

from __future__ import annotations

import base64

import grpc
from google.protobuf.message import Message

from milvus.proxies import MilvusProxy
from milvus.servers import CALL_S
from vecguard.front.milvus.status import status_of
from vecguard.front.milvus.table import ROUTES

DENIED = 1401


def ask_of(path: str, name: str) -> Message:
    """A request that names a collection in each place where it may."""
    message: Message = ROUTES[path].ask()
    for field in message.DESCRIPTOR.fields:
        if field.name in ("collection_name", "collectionName", "oldName", "alias", "collection_names"):
            if field.is_repeated:
                getattr(message, field.name).append(name)
            else:
                setattr(message, field.name, name)
    return message


def answered(proxy: MilvusProxy, token: str, path: str, message: Message) -> tuple[int, str]:
    """Milvus' code of the answer, and its text; that of a permission denied where a gRPC status says so."""
    route = ROUTES[path]
    with grpc.insecure_channel(proxy.target) as channel:
        method = channel.unary_unary(path, type(message).SerializeToString, route.reply.FromString)
        header = base64.b64encode(token.encode()).decode()
        try:
            answer = method(message, metadata=(("authorization", header),), timeout=CALL_S)
        except grpc.RpcError as error:
            denied = error.code() is grpc.StatusCode.PERMISSION_DENIED
            return (DENIED if denied else -1), str(error.details())
    status = status_of(answer)
    return (0, "") if status is None else (int(status.code), status.reason)
