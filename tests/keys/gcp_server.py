"""Cloud KMS over gRPC, `Encrypt` and `Decrypt` alone: checks token, resource name and routing header, and encrypts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import grpc
from cryptography.exceptions import InvalidTag
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceGrpcTransport
from sealing import SymmetricKey

TOKEN = "ya29.the-token-of-these-tests"
_SERVICE = "/google.cloud.kms.v1.KeyManagementService/"
_CODE = grpc.StatusCode


class GcpServer(grpc.GenericRpcHandler):
    """Keys by resource name; only `token` may use them."""

    def __init__(self) -> None:
        self.keys: dict[str, SymmetricKey] = {}
        self.token = TOKEN
        self.asked: list[tuple[str, Any]] = []
        self._server = grpc.server(ThreadPoolExecutor(4))
        self._server.add_generic_rpc_handlers((self,))
        self.port = self._server.add_secure_port("127.0.0.1:0", grpc.local_server_credentials())
        self._server.start()

    def close(self) -> None:
        self._server.stop(None).wait()

    def client(self, token: str = TOKEN) -> kms_v1.KeyManagementServiceClient:
        """Google's own client, with an access token, on a channel that may carry one over loopback."""
        credentials = grpc.composite_channel_credentials(
            grpc.local_channel_credentials(), grpc.access_token_call_credentials(token)
        )
        channel = grpc.secure_channel(f"127.0.0.1:{self.port}", credentials)
        return kms_v1.KeyManagementServiceClient(transport=KeyManagementServiceGrpcTransport(channel=channel))

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        method = handler_call_details.method.removeprefix(_SERVICE)
        types = {
            "Encrypt": (self.encrypt, kms_v1.EncryptRequest, kms_v1.EncryptResponse),
            "Decrypt": (self.decrypt, kms_v1.DecryptRequest, kms_v1.DecryptResponse),
        }
        if method not in types:
            return None
        serve, asked, answered = types[method]

        def unary(request: Any, context: grpc.ServicerContext) -> Any:
            metadata = dict(context.invocation_metadata())
            self.asked.append((method, request))
            if metadata.get("authorization") != f"Bearer {self.token}":
                context.abort(_CODE.PERMISSION_DENIED, "Permission 'cloudkms.cryptoKeyVersions.use' denied")
            if unquote(metadata.get("x-goog-request-params", "")) != f"name={request.name}":
                context.abort(_CODE.INTERNAL, "routing header is missing")
            key = self.keys.get(request.name)
            if key is None:
                context.abort(_CODE.NOT_FOUND, f"CryptoKey {request.name} not found.")
            if not key.enabled:
                context.abort(_CODE.FAILED_PRECONDITION, f"{request.name}/cryptoKeyVersions/1 is not enabled")
            return serve(key, request, context)

        return grpc.unary_unary_rpc_method_handler(
            unary, request_deserializer=asked.deserialize, response_serializer=answered.serialize
        )

    def encrypt(self, key: SymmetricKey, request: Any, _: grpc.ServicerContext) -> kms_v1.EncryptResponse:
        box = key.encrypt(request.plaintext, request.additional_authenticated_data)
        return kms_v1.EncryptResponse(
            name=f"{request.name}/cryptoKeyVersions/{key.newest}", ciphertext=bytes([key.newest]) + box
        )

    def decrypt(self, key: SymmetricKey, request: Any, context: grpc.ServicerContext) -> kms_v1.DecryptResponse:
        box = request.ciphertext
        try:
            plaintext = key.decrypt(box[0], box[1:], request.additional_authenticated_data)
        except (InvalidTag, KeyError, IndexError, ValueError):
            context.abort(
                _CODE.INVALID_ARGUMENT, "Decryption failed: verify that 'name' refers to the correct CryptoKey."
            )
        return kms_v1.DecryptResponse(plaintext=plaintext)
