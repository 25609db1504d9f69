"""Settings say what is wrong with them, and never open the proxy to the network unasked."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from vecguard.config import (
    EmbeddedMilvusUpstream,
    EmbeddedUpstream,
    MilvusUpstream,
    QdrantUpstream,
    Settings,
    host_and_port,
    load_settings,
    parse_upstream,
    upstream_api_key,
)
from vecguard.errors import ConfigError
from vecguard.loopback import is_loopback


@pytest.mark.parametrize(
    ("text", "upstream"),
    [
        ("embedded:data", EmbeddedUpstream(data=Path("data"))),
        ("embedded:/a/b c", EmbeddedUpstream(data=Path("/a/b c"))),
        ("qdrant://db:6334", QdrantUpstream(target="db:6334")),
        ("qdrant://db.example.org:1?tls", QdrantUpstream(target="db.example.org:1", tls=True)),
        ("qdrant://10.0.0.1:65535", QdrantUpstream(target="10.0.0.1:65535")),
        ("qdrant://[::1]:6334", QdrantUpstream(target="[::1]:6334")),
        ("embedded-milvus:data", EmbeddedMilvusUpstream(data=Path("data"))),
        ("milvus://db:19530", MilvusUpstream(target="db:19530")),
        ("milvus://db:19530?tls", MilvusUpstream(target="db:19530", tls=True)),
    ],
)
def test_upstreams(text, upstream):
    assert parse_upstream(text) == upstream
    assert Settings(upstream=text).upstream == (upstream,)
    assert Settings(upstream=[text]).upstream == (upstream,)


@pytest.mark.parametrize(
    "text",
    [
        *("", "embedded:", "data", "qdrant://", "qdrant://db", "qdrant://:6334", "qdrant://db:", "qdrant://db:0"),
        *("qdrant://db:65536", "qdrant://db:123456", "qdrant://db:x", "qdrant://db:6334/path", "qdrant://db:6334#x"),
        *("qdrant://db:6334?tls=1", "qdrant://db:6334?ssl", "http://db:6334", "qdrant://me:secret@db:6334"),
        *("qdrant://::1:6334", "qdrant://db:6334\n", "qdrant://d b:6334", "QDRANT://db:6334"),
    ],
)
def test_what_is_no_upstream_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match="not an upstream") as refusal:
        parse_upstream(text)
    assert "secret" not in str(refusal.value)
    with pytest.raises(ConfigError, match=r"upstream: .*not an upstream"):
        load_settings(None, {"upstream": text})


def test_each_protocol_with_a_database_is_listened_for():
    both = Settings(upstream=["milvus://db:1", "embedded:data"], listen="127.0.0.1:7", milvus_listen="127.0.0.1:8")
    assert both.listeners == {"qdrant": "127.0.0.1:7", "milvus": "127.0.0.1:8"}
    assert Settings(upstream="embedded-milvus:data").listeners == {"milvus": "127.0.0.1:19530"}
    assert Settings().listeners == {"qdrant": "127.0.0.1:6334"}


@pytest.mark.parametrize("upstreams", [[], ["embedded:a", "qdrant://db:1"], ["milvus://a:1", "milvus://b:1"]])
def test_one_upstream_for_each_protocol(upstreams):
    with pytest.raises(ConfigError, match="upstream"):
        load_settings(None, {"upstream": upstreams})


def test_an_open_milvus_listener_has_to_be_allowed_in_words_where_there_is_one():
    open_to_all = {"milvus_listen": "0.0.0.0:19530"}
    assert load_settings(None, open_to_all).listeners == {"qdrant": "127.0.0.1:6334"}
    for more in ({"upstream": "milvus://db:1"}, {"upstream": ["embedded:a", "embedded-milvus:b"]}):
        with pytest.raises(ConfigError, match=r"0\.0\.0\.0:19530 would accept"):
            load_settings(None, open_to_all | more)
        assert load_settings(None, open_to_all | more | {"allow_clear_network": True})


@pytest.mark.parametrize(
    ("listen", "parts"),
    [
        ("127.0.0.1:6334", ("127.0.0.1", 6334)),
        ("[::1]:0", ("::1", 0)),
        ("localhost:65535", ("localhost", 65535)),
    ],
)
def test_addresses(listen, parts):
    assert host_and_port(listen) == parts


@pytest.mark.parametrize("listen", ["", "6334", ":6334", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_refused(listen):
    with pytest.raises(ValueError, match="is not an address to listen on"):
        host_and_port(listen)
    with pytest.raises(ConfigError, match=r"listen: .*is not an address"):
        load_settings(None, {"listen": listen})


@pytest.mark.parametrize("listen", ["0.0.0.0:6334", "[::]:6334", "10.1.2.3:6334", "db.example.org:6334"])
def test_the_network_is_not_listened_on_unless_that_is_said(listen):
    with pytest.raises(ConfigError, match="from the network in clear"):
        load_settings(None, {"listen": listen})
    assert Settings(listen=listen, allow_clear_network=True).listen == listen


def test_the_defaults_need_nothing():
    settings = load_settings(None, {})
    assert settings == Settings()
    assert is_loopback(host_and_port(settings.listen)[0])
    assert settings.upstream == (EmbeddedUpstream(data=Path("vecguard-data")),)
    assert (settings.workers, settings.policy, settings.key) == (1, None, "file:vecguard.key")


def test_the_command_line_wins_over_the_file(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("listen: 127.0.0.1:1\nworkers: 3\nupstream: qdrant://db:1\npolicy: p.yaml\n")
    settings = load_settings(file, {"listen": "127.0.0.1:2", "workers": None, "policy": Path("q.yaml")})
    assert (settings.listen, settings.workers, settings.policy) == ("127.0.0.1:2", 3, Path("q.yaml"))
    assert settings.upstream == (QdrantUpstream(target="db:1"),)


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}\n"])
def test_an_empty_file_changes_nothing(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert load_settings(file, {}) == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("workers: 0\n", "workers: "),
        ("workers: many\n", "workers: "),
        ("max_message_mib: 5000\n", "max_message_mib: "),
        ("worker: 2\n", "worker: Extra inputs"),
        ("1: 2\n", "1.*: .*string"),
        ("upstream: {kind: embedded, data: d, typo: 1}\n", "typo: Extra inputs"),
        ("upstream: {kind: qdrant, target: 'db:1', tsl: true}\n", "tsl: Extra inputs"),
        ("upstream: {kind: redis}\n", "upstream"),
        ("- listen\n", "must hold a mapping"),
        ("text\n", "must hold a mapping"),
        ("a: [\n", "not valid YAML"),
        ("workers: 0\nlisten: x\n", "listen: .*; workers: |workers: .*; listen: "),
    ],
)
def test_what_is_wrong_in_a_file_is_said(tmp_path, text, said):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_settings(file, {})


def test_a_file_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_settings(tmp_path / "gone.yaml", {})
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_settings(file, {})


def test_settings_reach_a_worker_whole(tmp_path):
    for settings in (
        Settings(policy=tmp_path / "p", workers=2),
        Settings(upstream="qdrant://db:1?tls", listen="[::1]:7", key="environment:X"),
    ):
        assert Settings.model_validate_json(settings.model_dump_json()) == settings


def test_settings_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        Settings().workers = 2


@pytest.mark.parametrize(("value", "key"), [("k", "k"), ("", None), (None, None)])
def test_the_api_key_for_the_database_comes_from_the_environment(monkeypatch, value, key):
    monkeypatch.delenv("VECGUARD_UPSTREAM_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("VECGUARD_UPSTREAM_API_KEY", value)
    assert upstream_api_key() == key


def test_where_rest_is_listened_for():
    assert Settings().rest_listen == "127.0.0.1:6333"
    assert Settings(rest="[::1]:7").rest_listen == "[::1]:7"
    assert Settings().addresses == ("127.0.0.1:6334", "127.0.0.1:6333")
    both = Settings(upstream=["milvus://db:1", "embedded:data"])
    assert both.addresses == ("127.0.0.1:19530", "127.0.0.1:6334", "127.0.0.1:6333")


@pytest.mark.parametrize("off", ["off", False])
def test_rest_is_left_out(tmp_path, off):
    assert Settings(rest=off).rest_listen is None
    assert Settings(rest=off).addresses == ("127.0.0.1:6334",)
    assert Settings(upstream="milvus://db:1").rest_listen is None, "Milvus' protocol has no REST here"
    file = tmp_path / "settings.yaml"
    file.write_text("rest: off\n")
    assert load_settings(file, {}).rest_listen is None
    assert load_settings(file, {"rest": "127.0.0.1:7"}).rest_listen == "127.0.0.1:7"


@pytest.mark.parametrize("rest", ["nowhere", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", 6333, True, None, ""])
def test_what_is_no_address_for_rest(rest):
    with pytest.raises(ValueError):
        Settings(rest=rest)


def test_rest_beyond_this_machine_has_to_be_said():
    with pytest.raises(ValueError, match="from the network in clear"):
        Settings(rest="0.0.0.0:6333")
    assert Settings(rest="0.0.0.0:6333", allow_clear_network=True).rest_listen == "0.0.0.0:6333"
    assert Settings(rest="0.0.0.0:6333", upstream="milvus://db:1").rest_listen is None


@pytest.mark.parametrize(
    ("seconds", "taken"),
    [(1, True), (3600.5, True), (604_800, True)]
    + [(wrong, False) for wrong in (0, 0.5, -1, 604_801, float("inf"), float("nan"), "soon", None)],
)
def test_a_lease_has_bounds(seconds, taken):
    try:
        assert Settings(key_lease_s=seconds).key_lease_s == seconds
    except ValidationError:
        assert not taken
    else:
        assert taken


KEY_HASH = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("admin", "says"),
    [
        ({}, "who may use"),
        ({"key": "secret"}, "64 hexadecimal digits"),
        ({"listen": "0.0.0.0:6330", "key": KEY_HASH}, "over the network in clear"),
        ({"certificate": "a.pem"}, "go together"),
        ({"client_ca": "a.pem"}, "needs `certificate`"),
        ({"listen": "here"}, "not an address"),
    ],
)
def test_a_control_plane_is_closed_to_whom_nobody_named(admin, says):
    with pytest.raises(ConfigError, match=says) as refusal:
        load_settings(None, {"admin": admin})
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize(
    "admin",
    [
        {"listen": "unix:/run/vecguard/admin.sock"},
        {"key": KEY_HASH},
        {"listen": "0.0.0.0:6330", "key": KEY_HASH, "certificate": "a", "private_key": "b"},
        {"listen": "0.0.0.0:6330", "client_ca": "c", "certificate": "a", "private_key": "b"},
    ],
)
def test_control_planes(admin):
    assert load_settings(None, {"admin": admin}).admin is not None
    assert load_settings(None, {}).admin is None


def test_metrics_stay_on_this_machine_unless_said_in_words():
    assert load_settings(None, {}).metrics_listen is None
    assert load_settings(None, {"metrics": "127.0.0.1:9464"}).metrics_listen == "127.0.0.1:9464"
    with pytest.raises(ConfigError, match="allow_open_metrics"):
        load_settings(None, {"metrics": "0.0.0.0:9464"})
    opened = load_settings(None, {"metrics": "0.0.0.0:9464", "allow_open_metrics": True})
    assert opened.metrics_listen == "0.0.0.0:9464"
