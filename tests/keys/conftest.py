"""Known answers, and the services that hold KEKs, for the tests of keys."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from azure_server import AzureServer  # noqa: E402 - found beside this file
from gcp_server import GcpServer  # noqa: E402
from sides import Side, aws_side, azure_side, gcp_side, pkcs11_side, vault_side  # noqa: E402
from vault_server import VaultServer  # noqa: E402

KINDS = [
    *("vault", "gcp-kms", "pkcs11"),
    *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("azure-rsa", "azure-aes", "aws-kms")),
]


@pytest.fixture(scope="session")
def known_keys() -> dict[str, Any]:
    return json.loads((Path(__file__).parents[1] / "vectors" / "keys.json").read_text())


@pytest.fixture(scope="session")
def vault() -> Iterator[tuple[Side, VaultServer]]:
    with vault_side() as side:
        yield side


@pytest.fixture(scope="session")
def gcp() -> Iterator[tuple[Side, GcpServer]]:
    with gcp_side() as side:
        yield side


@pytest.fixture(scope="session")
def azure_rsa(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, AzureServer]]:
    with azure_side(tmp_path_factory.mktemp("azure"), "rsa") as side:
        yield side


@pytest.fixture(scope="session")
def azure_aes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Side, AzureServer]]:
    with azure_side(tmp_path_factory.mktemp("azure"), "aes") as side:
        yield side


@pytest.fixture(scope="session")
def pkcs11_token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with pkcs11_side(tmp_path_factory.mktemp("softhsm")) as side:
        yield side


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    with aws_side(tmp_path_factory.mktemp("moto")) as side:
        yield side


@pytest.fixture(params=KINDS)
def side(request: pytest.FixtureRequest) -> Side:
    """Each provider in turn."""
    if request.param == "pkcs11":
        return request.getfixturevalue("pkcs11_token")
    if request.param == "aws-kms":
        return request.getfixturevalue("aws")
    names = {"vault": "vault", "gcp-kms": "gcp", "azure-rsa": "azure_rsa", "azure-aes": "azure_aes"}
    return request.getfixturevalue(names[request.param])[0]
