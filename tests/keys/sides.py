"""Every provider whose KEK is elsewhere, before something that really holds one."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import azure_server
import gcp_server
import pytest
import softhsm
from azure_server import AzureServer, StaticCredential
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from gcp_server import GcpServer
from ports import free_port
from sealing import SymmetricKey, certificate
from vault_server import TOKEN, VaultServer

from vecguard.keys.hidden import HiddenEnvironment
from vecguard.keys.provider import KeyProvider

Provider = Callable[[], KeyProvider]


@dataclass
class Side:
    """Providers over one service: the good one, and one for each thing that can be wrong."""

    kind: str
    good: Provider
    other_key: Provider
    no_key: Provider
    denied: Provider
    unreachable: Provider
    rotate: Callable[[], Any]
    """A new version of the key at the service."""
    credentials: tuple[str, ...] = field(repr=False)
    """What must never be seen, beside keys."""
    disabled: Callable[[], contextlib.AbstractContextManager[Any]] | None = None
    """The key, or the version that wrapped, cannot be used within."""


@contextlib.contextmanager
def setting(thing: object, name: str, value: object) -> Iterator[None]:
    before = getattr(thing, name)
    setattr(thing, name, value)
    try:
        yield
    finally:
        setattr(thing, name, before)


@contextlib.contextmanager
def vault_side() -> Iterator[tuple[Side, VaultServer]]:
    from vecguard.keys.vault import VaultKeyProvider

    server = VaultServer()
    server.keys |= {"kek": SymmetricKey(), "other": SymmetricKey()}

    def provider(name: str = "kek", token: str = TOKEN, port: int = 0) -> Provider:
        location = f"http://127.0.0.1:{port or server.port}/v1/transit/keys/{name}"
        return lambda: VaultKeyProvider(location, HiddenEnvironment({"VAULT_TOKEN": token}))

    yield (
        Side(
            "vault",
            provider(),
            provider("other"),
            provider("gone"),
            provider(token="hvs.a-stranger"),
            provider(port=free_port()),
            server.keys["kek"].rotate,
            (TOKEN, "hvs.a-stranger"),
            lambda: setting(server, "oldest", 100),
        ),
        server,
    )
    server.close()


@contextlib.contextmanager
def gcp_side() -> Iterator[tuple[Side, GcpServer]]:
    from vecguard.keys.gcp_kms import GcpKmsKeyProvider

    server, away = GcpServer(), GcpServer()
    away.close()
    ring = "projects/clinic/locations/europe-west3/keyRings/vecguard/cryptoKeys/"
    server.keys |= {f"{ring}kek": SymmetricKey(), f"{ring}other": SymmetricKey()}
    yield (
        Side(
            "gcp-kms",
            lambda: GcpKmsKeyProvider(f"{ring}kek", server.client()),
            lambda: GcpKmsKeyProvider(f"{ring}other", server.client()),
            lambda: GcpKmsKeyProvider(f"{ring}gone", server.client()),
            lambda: GcpKmsKeyProvider(f"{ring}kek", server.client("ya29.a-stranger")),
            lambda: GcpKmsKeyProvider(f"{ring}kek", away.client()),
            server.keys[f"{ring}kek"].rotate,
            (gcp_server.TOKEN, "ya29.a-stranger"),
            lambda: setting(server.keys[f"{ring}kek"], "enabled", False),
        ),
        server,
    )
    server.close()


@contextlib.contextmanager
def azure_side(folder: Path, kind: str) -> Iterator[tuple[Side, AzureServer]]:
    from vecguard.keys.azure_keyvault import AzureKeyProvider

    context, trusted = certificate(folder)
    server = AzureServer(context)

    def material() -> rsa.RSAPrivateKey | AESGCM:
        return rsa.generate_private_key(65537, 2048) if kind == "rsa" else AESGCM(secrets.token_bytes(32))

    server.add("kek", material())
    server.add("other", material())

    def provider(name: str = "kek", token: str | None = None, port: int = 0) -> Provider:
        location = f"https://127.0.0.1:{port or server.port}/keys/{name}"
        credential = StaticCredential() if token is None else StaticCredential(token)
        options = {"connection_verify": str(trusted), "verify_challenge_resource": False}
        return lambda: AzureKeyProvider(location, credential, **options)

    yield (
        Side(
            "azure-keyvault",
            provider(),
            provider("other"),
            provider("gone"),
            provider(token="eyJ.a-stranger"),
            provider(port=free_port()),
            lambda: server.add("kek", material()),
            (azure_server.TOKEN, "eyJ.a-stranger"),
            lambda: setting(server, "enabled", False),
        ),
        server,
    )
    server.close()


@contextlib.contextmanager
def pkcs11_side(folder: Path) -> Iterator[Side]:
    """A token in SoftHSM. One module is initialised once in a process, so there is one such side."""
    module = softhsm.module()
    if module is None:
        pytest.skip(
            "SOFTHSM 2 IS NOT THERE, SO THE PROVIDER pkcs11 IS NOT TESTED: install Debian's softhsm2, or name its "
            "libsofthsm2.so in SOFTHSM2_MODULE"
        )
    os.environ.update(softhsm.configure(folder))
    import pkcs11

    from vecguard.keys.pkcs11 import Pkcs11KeyProvider

    library = pkcs11.lib(module)
    softhsm.make_token(module)
    library.reinitialize()

    def make(label: str, key_id: bytes) -> None:
        with library.get_token(token_label=softhsm.TOKEN).open(rw=True, user_pin=softhsm.PIN) as session:
            session.generate_key(pkcs11.KeyType.AES, 256, label=label, id=key_id, store=True)

    make("kek", b"\x01")
    make("other", b"\x02")

    def provider(uri: str, pin: str = softhsm.PIN) -> Provider:
        environ = HiddenEnvironment({"VECGUARD_PKCS11_PIN": pin})
        return lambda: Pkcs11KeyProvider(f"{uri}?module-path={module}", environ)

    token = softhsm.TOKEN.replace(" ", "%20")
    yield Side(
        "pkcs11",
        provider(f"token={token};object=kek"),
        provider(f"token={token};object=other"),
        provider(f"token={token};object=gone"),
        provider(f"token={token};object=kek", "no-such-pin"),
        provider("token=unplugged;object=kek"),
        lambda: make("kek-2", secrets.token_bytes(4)),
        (softhsm.PIN, "no-such-pin"),
    )


@contextlib.contextmanager
def aws_side(folder: Path) -> Iterator[Side]:
    """moto's server, in a process of its own; its IAM rules are in force, with one user who may do nothing."""
    port, log = free_port(), folder / "moto.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-c", "from moto.server import main; main()", "-H", "127.0.0.1", "-p", str(port)],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=30).close()
                break
            except OSError:
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
        with pytest.MonkeyPatch.context() as patch:
            yield _aws_side(url, patch, folder)
    finally:
        process.terminate()
        process.wait(60)


def _aws_side(url: str, patch: pytest.MonkeyPatch, folder: Path) -> Side:
    import boto3

    from vecguard.keys.aws_kms import AwsKmsKeyProvider

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "credentials"))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    admin = {"aws_access_key_id": "AKIAADMIN", "aws_secret_access_key": "admin", "region_name": "eu-central-1"}
    kms = boto3.client("kms", endpoint_url=url, **admin)
    arns = [kms.create_key()["KeyMetadata"]["Arn"] for _ in range(2)]
    iam = boto3.client("iam", endpoint_url=url, **admin)
    pairs = {}
    for name, actions in {"proxy": ["kms:Encrypt", "kms:Decrypt"], "admin": ["kms:*"], "stranger": ["s3:*"]}.items():
        iam.create_user(UserName=name)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        pairs[name] = (made["AccessKeyId"], made["SecretAccessKey"])
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="keys", PolicyDocument=document)
    # From now on moto asks its IAM about each call.
    plain = {"Content-Type": "text/plain"}
    request = urllib.request.Request(f"{url}/moto-api/reset-auth", b"0", plain, method="POST")
    urllib.request.urlopen(request, timeout=60).close()
    admin |= {"aws_access_key_id": pairs["admin"][0], "aws_secret_access_key": pairs["admin"][1]}
    kms = boto3.client("kms", endpoint_url=url, **admin)

    def provider(arn: str = arns[0], user: str = "proxy", endpoint: str = url) -> Provider:
        def make() -> KeyProvider:
            patch.setenv("AWS_ENDPOINT_URL_KMS", endpoint)
            patch.setenv("AWS_ACCESS_KEY_ID", pairs[user][0])
            patch.setenv("AWS_SECRET_ACCESS_KEY", pairs[user][1])
            return AwsKmsKeyProvider(arn)

        return make

    missing = arns[0].rpartition("/")[0] + "/00000000-0000-4000-8000-000000000000"
    return Side(
        "aws-kms",
        provider(),
        provider(arns[1]),
        provider(missing),
        provider(user="stranger"),
        provider(endpoint=f"http://127.0.0.1:{free_port()}"),
        lambda: kms.rotate_key_on_demand(KeyId=arns[0]),  # moto lets a disabled key work, so that is not tested here
        (pairs["proxy"][1], pairs["stranger"][1]),
    )
