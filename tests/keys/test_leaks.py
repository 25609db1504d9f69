"""Keys and credentials are in no log, error, repr or traceback with local variables, whatever goes right or wrong."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import pickle
import secrets
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import rich.console
import rich.traceback
import structlog
from azure_server import AzureServer
from gcp_server import GcpServer
from sealing import Asked, JsonServer
from sides import Side, setting
from vault_server import VaultServer

from vecguard.errors import ConfigError, Unavailable, VecGuardError
from vecguard.keys.environment import EnvironmentKeyProvider
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.hidden import HiddenEnvironment
from vecguard.keys.key import Key
from vecguard.keys.lease import LeasingProvider
from vecguard.keys.passphrase import ScryptCost
from vecguard.keys.provider import KeyProvider
from vecguard.keys.remote import RemoteWrapping
from vecguard.keys.ring import KeyRing
from vecguard.trail import configure

CHEAP = ScryptCost(log_n=10)
CONTEXT = b"context"


def needles(*kept: bytes) -> list[str]:
    """How secret bytes may look in a text; of base64 only what does not depend on what follows."""
    found: list[str] = []
    for secret in kept:
        whole = secret[: len(secret) // 3 * 3]
        found += [secret.decode("latin-1"), secret.hex(), base64.b64encode(whole).decode()]
        found.append(base64.urlsafe_b64encode(whole).decode())
        found.append(repr(list(secret))[1:-1])
    return found


def data_key() -> tuple[Key, bytes]:
    """A data key of 32 letters and digits, which are easily found in any text."""
    secret = secrets.token_hex(16).encode()
    return Key(secret), secret


@pytest.fixture
def seen() -> Iterator[io.StringIO]:
    """Everything that is logged meanwhile, at every level, by the standard library's logging and by structlog."""
    text = io.StringIO()

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text.write(f"{record.name} {record.getMessage()} {record.args!r} {record.exc_info!r}\n")
            if record.exc_info:
                text.write("".join(traceback.format_exception(*record.exc_info)))

    root, handler = logging.getLogger(), Keep(0)
    level = root.level
    root.addHandler(handler)
    root.setLevel(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr", text)
        configure()
        yield text
    root.removeHandler(handler)
    root.setLevel(level)
    structlog.reset_defaults()


def error_of(call: Callable[[], object]) -> BaseException:
    """What `call` raises, with a traceback that begins here."""
    try:
        call()
    except VecGuardError as error:
        return error
    raise AssertionError("it did not fail")


def told_by(error: BaseException) -> str:
    """All that anybody could print of an error: chain, notes, attributes, and local variables of every frame."""
    shown = io.StringIO()
    rich.console.Console(file=shown, width=400).print(
        rich.traceback.Traceback.from_exception(
            type(error), error, error.__traceback__, show_locals=True, locals_max_length=None, locals_max_string=None
        )
    )
    shown.write("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format(chain=True)))
    where = structlog.tracebacks.extract(type(error), error, error.__traceback__, show_locals=True)
    shown.write(repr(where))
    chain: list[BaseException | None] = [error]
    while chain:
        link = chain.pop()
        if link is None:
            continue
        shown.write(f"{link!s} {link!r} {link.args!r} {vars(link)!r}\n")
        for frame, _ in traceback.walk_tb(link.__traceback__):
            for value in frame.f_locals.values():
                shown.write(f"{value!r}\n{_attributes(value)}\n")
        chain += [link.__cause__, link.__context__]  # even where the context is suppressed
    return shown.getvalue()


def _attributes(value: object) -> str:
    return repr(vars(value)) if type(value).__module__.startswith("vecguard") and hasattr(value, "__dict__") else ""


def assert_hidden(text: str, *kept: bytes) -> None:
    assert [needle for needle in needles(*kept) if needle in text] == []


# -- the search finds what it must -------------------------------------------------------------------------------------


def test_the_walk_sees_what_a_careless_provider_would_show() -> None:
    _, secret = data_key()

    def careless(plaintext: bytes) -> None:
        try:
            raise ValueError(f"cannot send {plaintext.hex()}")
        except ValueError:
            raise Unavailable("away") from None

    told = told_by(error_of(lambda: careless(secret)))
    assert {needles(secret)[0], needles(secret)[1]} <= {needle for needle in needles(secret) if needle in told}


# -- providers elsewhere -----------------------------------------------------------------------------------------------


def credentials(side: Side) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in side.credentials)


def test_nothing_is_told_when_all_is_well(side: Side, seen: io.StringIO) -> None:
    key, secret = data_key()
    provider = LeasingProvider(side.good())
    wrapped = provider.wrap(key, CONTEXT)
    assert side.good().unwrap(wrapped, CONTEXT) == key
    shown = f"{provider!r} {vars(provider)!r} {vars(side.good())!r} {key!r} {provider.recording()!r}"
    assert_hidden(seen.getvalue() + shown, secret, *credentials(side))


def test_nothing_is_told_when_it_fails(side: Side, seen: io.StringIO) -> None:
    key, secret = data_key()
    wrapped = side.good().wrap(key, CONTEXT)
    altered = wrapped[:-1] + bytes([wrapped[-1] ^ 1])
    told = told_by(error_of(lambda: side.good().unwrap(altered, CONTEXT)))
    told += told_by(error_of(lambda: side.good().unwrap(wrapped, b"other")))
    for provider in (side.denied(), side.no_key()):
        told += told_by(error_of(lambda provider=provider: provider.wrap(key, CONTEXT)))
        told += told_by(error_of(lambda provider=provider: provider.unwrap(altered, b"other")))
    assert_hidden(told + seen.getvalue(), secret, *credentials(side))
    assert "key provider failed" in seen.getvalue()


@pytest.mark.slow
def test_nothing_is_told_when_nobody_answers(side: Side, seen: io.StringIO) -> None:
    key, secret = data_key()
    told = told_by(error_of(lambda: side.unreachable().wrap(key, CONTEXT)))
    assert_hidden(told + seen.getvalue(), secret, *credentials(side))


@pytest.mark.parametrize("leak", [pickle.dumps, copy.deepcopy, json.dumps])
def test_a_provider_cannot_be_carried_away(side: Side, leak: Callable[[object], object]) -> None:
    for provider in (side.good(), LeasingProvider(side.good())):
        with pytest.raises((TypeError, AttributeError)):
            leak(provider)


# -- services that say what they were sent -----------------------------------------------------------------------------


def raised_by(provider: RemoteWrapping, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Texts of the client library's exceptions, which the provider is to keep to itself."""
    texts: list[str] = []
    meaning = provider._meaning

    def listen(error: Exception, operation: str) -> Any:
        texts.append(f"{error!s} {error!r} {getattr(error, 'text', '')}")
        return meaning(error, operation)

    monkeypatch.setattr(provider, "_meaning", listen)
    return texts


def assert_kept(provider: KeyProvider, seen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library's exception holds the key, and VecGuard's error does not."""
    assert isinstance(provider, RemoteWrapping)
    key, secret = data_key()
    texts = raised_by(provider, monkeypatch)
    told = told_by(error_of(lambda: provider.wrap(key, CONTEXT)))
    assert any(needle in text for needle in needles(secret) for text in texts), texts
    assert_hidden(told + seen.getvalue(), secret)


def test_what_vault_says_is_kept(
    vault: tuple[Side, VaultServer], seen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vecguard.keys.vault import VaultKeyProvider

    server = JsonServer(lambda asked: (400, {"errors": [f"bad request: {asked.body}"]}, {}))
    environ = HiddenEnvironment({"VAULT_TOKEN": "t"})
    assert_kept(VaultKeyProvider(f"http://127.0.0.1:{server.port}/v1/transit/keys/kek", environ), seen, monkeypatch)
    server.close()


def test_what_google_says_is_kept(
    gcp: tuple[Side, GcpServer], seen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, server = gcp

    def repeat(_: object, request: Any, context: Any) -> None:
        import grpc

        context.abort(grpc.StatusCode.INTERNAL, request.plaintext.decode("latin-1"))

    with setting(server, "encrypt", repeat):
        assert_kept(side.good(), seen, monkeypatch)


@pytest.mark.slow
def test_what_azure_says_is_kept(
    azure_aes: tuple[Side, AzureServer], seen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    side, server = azure_aes
    serve = server.answer

    def repeat(asked: Asked) -> Any:
        if "value" in asked.body and "authorization" in asked.headers:
            return 400, {"error": {"code": "BadParameter", "message": f"{asked.body}"}}, {}
        return serve(asked)

    with setting(server, "answer", repeat):
        assert_kept(side.good(), seen, monkeypatch)


def test_what_aws_says_is_kept(seen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    provider, server = aws_before(monkeypatch, lambda asked: ("ValidationException", f"{asked.body}"))
    assert_kept(provider, seen, monkeypatch)
    assert "cannot be reached" not in seen.getvalue()
    server.close()


def test_what_aws_means(seen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = {
        "DisabledException": "disabled",
        "KMSInvalidStateException": "disabled",
        "AccessDeniedException": "does not let",
        "NotFoundException": "does not know",
        "SomethingNewException": "failed",
    }
    left = list(codes)
    provider, server = aws_before(monkeypatch, lambda _: (left[0], ""))
    for code, said in codes.items():
        assert said in str(error_of(lambda: provider.wrap(Key.random(), CONTEXT)))
        assert json.loads(seen.getvalue().splitlines()[-1])["code"] == code
        left.pop(0)
    server.close()


def aws_before(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[Asked], tuple[str, str]]
) -> tuple[KeyProvider, JsonServer]:
    from vecguard.keys.aws_kms import AwsKmsKeyProvider

    def serve(asked: Asked) -> Any:
        code, text = answer(asked)
        return 400, {"__type": code, "message": text}, {}

    server = JsonServer(serve)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", f"http://127.0.0.1:{server.port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return AwsKmsKeyProvider("arn:aws:kms:eu-central-1:111122223333:key/1234"), server


def test_the_libraries_would_log_keys_if_they_were_let(seen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests above can fail: botocore logs what it sends at level DEBUG."""
    key, secret = data_key()
    provider, server = aws_before(monkeypatch, lambda _: ("DisabledException", ""))
    logger = logging.getLogger("botocore")
    logger.setLevel(logging.NOTSET)
    error_of(lambda: provider.wrap(key, CONTEXT))
    assert any(needle in seen.getvalue() for needle in needles(secret))
    logger.setLevel(logging.CRITICAL)
    server.close()


# -- providers here ----------------------------------------------------------------------------------------------------


def test_a_key_in_the_environment_is_not_told(seen: io.StringIO) -> None:
    secret = secrets.token_hex(16).encode()
    for text in (base64.b64encode(secret[:30]).decode(), secret.decode() + "!", base64.b64encode(secret * 2).decode()):
        environ = HiddenEnvironment({"VECGUARD_KEY": text})
        told = told_by(error_of(lambda environ=environ: EnvironmentKeyProvider(environ)))
        assert_hidden(told + seen.getvalue(), secret[:30], text.encode())
    provider = EnvironmentKeyProvider(HiddenEnvironment({"VECGUARD_KEY": base64.b64encode(secret).decode()}))
    assert_hidden(f"{provider!r} {vars(provider)!r}", secret)


@pytest.mark.parametrize("passphrase", ["", "correct horse battery staple"])
def test_a_key_in_a_file_is_not_told(tmp_path: Path, seen: io.StringIO, passphrase: str) -> None:
    path, environ = tmp_path / "key", HiddenEnvironment({"VECGUARD_KEY_PASSPHRASE": passphrase})
    provider = FileKeyProvider.create(path, environ, CHEAP)
    content = path.read_bytes()
    line = content.split(b"key: ")[1].strip()
    kept = (line, base64.b64decode(line), *([passphrase.encode()] if passphrase else []))
    told = f"{provider!r} {vars(provider)!r}"
    for damaged in (content[:-3], content + b"more", content.replace(b"id: ", b"id: 0"), content[: len(content) // 2]):
        path.write_bytes(damaged)
        told += told_by(error_of(lambda: FileKeyProvider(path, environ)))
    path.write_bytes(content)
    others = HiddenEnvironment({"VECGUARD_KEY_PASSPHRASE": "" if passphrase else "another"})
    told += told_by(error_of(lambda: FileKeyProvider(path, others)))
    told += told_by(error_of(lambda: FileKeyProvider.create(path, environ, CHEAP)))
    told += told_by(error_of(lambda: FileKeyProvider.create(tmp_path / "gone" / "key", environ, CHEAP)))
    assert_hidden(told + seen.getvalue(), *kept)


def test_local_wrapping_and_rings_tell_nothing(seen: io.StringIO) -> None:
    key, secret = data_key()
    provider = EnvironmentKeyProvider({"VECGUARD_KEY": base64.b64encode(bytes(32)).decode()})
    wrapped = provider.wrap(key, CONTEXT)
    told = told_by(error_of(lambda: provider.unwrap(wrapped, b"other")))
    told += told_by(error_of(lambda: provider.unwrap(wrapped[:-1] + b"!", CONTEXT)))
    ring = KeyRing({1: key}, 1)
    subkey = ring.subkey(1, "purpose").expose()
    told += told_by(error_of(lambda: ring.subkey(2, "purpose")))
    told += f"{ring!r} {vars(ring)!r}"
    structlog.get_logger("x").info("a key", key=key, ring=ring, keys=[key, {"k": key}], provider=provider)
    logging.getLogger("x").warning("a key: %s %r", key, {"k": key})
    assert "Key(…)" in seen.getvalue().encode().decode("unicode_escape") or "Key(" in seen.getvalue()
    assert_hidden(told + seen.getvalue(), secret, subkey)
    for leak in (pickle.dumps, copy.deepcopy):
        for holder in (ring, {"k": key}, provider):
            with pytest.raises(TypeError):
                leak(holder)


def test_the_environment_is_not_told() -> None:
    environ = HiddenEnvironment({"TOKEN": "hush-hush"})
    assert environ["TOKEN"] == environ.get("TOKEN") == "hush-hush"
    assert list(environ) == ["TOKEN"]
    assert len(environ) == 1
    assert "hush" not in f"{environ!r} {environ} {vars(type(environ))!r}"
    with pytest.raises(TypeError):
        pickle.dumps(environ)


@pytest.mark.parametrize(
    "location",
    [
        "vault:https://user:hush-hush@vault/v1/transit/keys/kek",
        "vault:https://vault/v1/transit/keys/kek?token=hush-hush",
        "pkcs11:token=a;object=b?module-path=/x&pin-value=hush-hush",
        "azure-keyvault:https://user:hush-hush@vault/keys/kek",
        "aws-kms:hush-hush",
        "gcp-kms:hush-hush",
    ],
)
def test_a_secret_in_a_location_is_refused_and_not_repeated(location: str) -> None:
    from vecguard.registry import KEY_PROVIDERS

    kind, _, rest = location.partition(":")
    with pytest.raises(ConfigError) as refused:
        KEY_PROVIDERS.load(kind)(rest, HiddenEnvironment({}))
    assert "hush" not in str(refused.value)
