"""PKCS #11: URIs, PINs that are not tried twice, and keys by CKA_ID."""

from __future__ import annotations

from pathlib import Path

import pytest
import softhsm
from sides import Side

from vecguard.errors import ConfigError, Unavailable, Unreadable
from vecguard.keys.key import Key
from vecguard.keys.pkcs11 import KeyUri, Pkcs11KeyProvider

CONTEXT = b"context"


def test_a_uri_is_read_by_rfc_7512() -> None:
    uri = KeyUri.parse("token=The%20token;serial=12%2f3;object=kek;id=%01%ff;type=secret-key?module-path=/a%20b.so")
    assert uri == KeyUri("/a b.so", "kek", b"\1\xff", "The token", b"12/3", None)
    assert uri.name == "pkcs11:The token/kek"
    named = KeyUri.parse("serial=1;id=%0a?pin-source=file:/run/pin&module-path=/m.so")
    assert (named.pin_file, named.name) == (Path("/run/pin"), "pkcs11:1/0a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "token=t;object=k",
        "token=t?module-path=/m.so",
        "object=k?module-path=/m.so",
        "token=t;object=k;model=m?module-path=/m.so",
        "token=t;token=u;object=k?module-path=/m.so",
        "token=t;object=k;type=private?module-path=/m.so",
        "token=t;object=k?module-path=/m.so&pin-source=%7ccat",
        "token=t;object=k?module-path=/m.so&pin-value=1",
        "token=t;object=k?module-name=m",
    ],
)
def test_other_uris_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        KeyUri.parse(text)


def test_a_module_that_cannot_be_loaded_is_a_config_error(tmp_path: Path) -> None:
    (tmp_path / "not-a-module.so").write_text("text")
    for name in ("missing.so", "not-a-module.so"):
        with pytest.raises(ConfigError, match="cannot be loaded"):
            Pkcs11KeyProvider(f"token=t;object=k?module-path={tmp_path / name}", {})


def test_a_pin_may_lie_in_a_file(pkcs11_token: Side, tmp_path: Path) -> None:
    (tmp_path / "pin").write_text(f"{softhsm.PIN}\n")
    location = f"token=vecguard%20tests;object=kek?module-path={softhsm.module()}&pin-source=file:{tmp_path / 'pin'}"
    wrapped = Pkcs11KeyProvider(location, {}).wrap(Key.random(), CONTEXT)
    assert pkcs11_token.good().unwrap(wrapped, CONTEXT)
    (tmp_path / "pin").unlink()
    with pytest.raises(Unavailable, match="does not let"):
        Pkcs11KeyProvider(location, {}).unwrap(wrapped, CONTEXT)


def test_a_refused_pin_is_not_tried_again(pkcs11_token: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    provider = pkcs11_token.denied()
    assert isinstance(provider, Pkcs11KeyProvider)
    tried, pin = [], provider._pin
    monkeypatch.setattr(provider, "_pin", lambda: tried.append(1) or pin())
    for _ in range(4):
        with pytest.raises(Unavailable, match="does not let"):
            provider.wrap(Key.random(), CONTEXT)
    assert len(tried) == 1
    assert pkcs11_token.good().wrap(Key.random(), CONTEXT)


def test_a_box_names_its_key(pkcs11_token: Side) -> None:
    key = Key.random()
    wrapped = pkcs11_token.good().wrap(key, CONTEXT)
    assert wrapped[:4] == b"\2\5\1\1"
    assert pkcs11_token.other_key().unwrap(wrapped, CONTEXT) == key  # an older key of the token goes on
    for unknown in (wrapped[:3] + b"\x77" + wrapped[4:], wrapped[:3] + b"\2" + wrapped[4:]):
        with pytest.raises(Unreadable):
            pkcs11_token.good().unwrap(unknown, CONTEXT)
