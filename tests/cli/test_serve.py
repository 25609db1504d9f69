"""`vecguard serve` says what it does in three lines, and why it does not start."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from ports import free_port
from typer.testing import CliRunner

from vecguard.cli import app
from vecguard.cli.serve import greeting
from vecguard.config import Settings
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.model import CollectionPolicy, PayloadRule, Policy, VectorRule
from vecguard.policy.transforms import GaussianSpec, RotationSpec


def protected(*collections):
    """The line about what is protected."""
    return greeting(Settings(), Policy(version=1, collections=collections), False)[1]


def vectors(*ratios, rerank=None):
    extra = {} if rerank is None else {"rerank": rerank}
    return tuple(
        VectorRule(
            match=str(ratio),
            transforms=(RotationSpec(), GaussianSpec(ratio=ratio)) if ratio else (RotationSpec(),),
            **extra,
        )
        for ratio in ratios
    )


def test_the_greeting_of_the_defaults():
    assert greeting(Settings(), DEFAULT_POLICY, True) == [
        "VecGuard listens on 127.0.0.1:6334 (gRPC) and 127.0.0.1:6333 (REST, 1 worker(s)) "
        "before embedded vecguard-data",
        "Protected: collections `*`: vectors rotated with noise of ratio 1, payload encrypted by field, scores exact",
        "Key: file:vecguard.key (new; back it up: without it the data cannot be read)",
    ]


def test_the_greeting_names_the_database_and_an_old_key():
    settings = Settings(upstream="qdrant://db:1", workers=4, key="environment:KEY", listen="[::1]:7", rest="off")
    first, _, last = greeting(settings, DEFAULT_POLICY, False)
    assert first == "VecGuard listens on [::1]:7 (gRPC, 4 worker(s)) before qdrant db:1"
    assert last == "Key: environment:KEY"


def test_the_greeting_names_both_protocols():
    settings = Settings(upstream=("embedded:a", "milvus://db:1"))
    assert greeting(settings, DEFAULT_POLICY, False)[0] == (
        "VecGuard listens on 127.0.0.1:6334 (gRPC) and 127.0.0.1:6333 (REST, 1 worker(s)) before embedded a; "
        "127.0.0.1:19530 (gRPC, 1 worker(s)) before milvus db:1"
    )


def test_the_greeting_claims_nothing_that_is_not_so():
    clear = CollectionPolicy(match="open*", protect="none")
    assert protected(clear) == "Protected: NOTHING; IN CLEAR: `open*`"
    both = protected(clear, CollectionPolicy(match="*"))
    assert both.startswith("Protected: collections `*`:")
    assert both.endswith("; IN CLEAR: `open*`")
    assert "rotated without noise," in protected(CollectionPolicy(match="*", vectors=vectors(0)))
    assert "with noise of ratio 0, 0.5, 2," in protected(CollectionPolicy(match="*", vectors=vectors(2.0, 0, 0.5)))
    for payload in (PayloadRule(default="plain"), PayloadRule(fields={"a": "plain"})):
        assert "but for the plain ones" in protected(CollectionPolicy(match="*", payload=payload))
    assert "but for" not in protected(CollectionPolicy(match="*", payload=PayloadRule(fields={"a": "searchable"})))
    off = protected(CollectionPolicy(match="*", vectors=vectors(1.0, rerank="off")))
    assert off.endswith("scores exact but where re-ranking is off")
    assert protected(CollectionPolicy(match="*", vectors=vectors(0, rerank="off"))).endswith("scores exact")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--listen", "nowhere"], "`nowhere` is not an address to listen on"),
        (["--listen", "0.0.0.0:1"], "from the network in clear"),
        (["--rest", "nowhere"], "`nowhere` is not an address to listen on"),
        (["--rest", "0.0.0.0:1"], "from the network in clear"),
        (["--upstream", "http://db"], "not an upstream"),
        (["--workers", "0"], "workers: "),
        (["--config", "gone.yaml"], "config file gone.yaml cannot be read"),
        (["--policy", "gone.yaml"], "gone.yaml"),
        (["--policy", "bad.yaml"], "bad.yaml:1:1: wrong"),
        (["--key", "sesame:x"], "there is no key provider 'sesame'; known: file, environment, vault"),
        (["--key", "environment:NO_SUCH_KEY"], "NO_SUCH_KEY"),
        (["--key-file", "folder"], "key file folder"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yaml").write_text("wrong: 1\n")
    (tmp_path / "folder").mkdir()
    result = CliRunner().invoke(app, ["serve", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith("vecguard serve: ")
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not (tmp_path / "vecguard-data").exists()


def test_a_key_is_not_made_anew_where_there_is_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vecguard-data").mkdir()
    (tmp_path / "vecguard-data" / "something").write_text("sealed")
    result = CliRunner().invoke(app, ["serve"])
    assert result.exit_code == 1
    assert "key file vecguard.key is missing, but there is data" in result.stderr
    assert not (tmp_path / "vecguard.key").exists()


def started(folder, *arguments):
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "vecguard", "serve", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_it_serves_until_it_is_told_to_stop(tmp_path):
    listen = f"127.0.0.1:{free_port()}"
    process = started(tmp_path, "--listen", listen, "--rest", "off")
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert lines[0] == f"VecGuard listens on {listen} (gRPC, 1 worker(s)) before embedded vecguard-data\n"
        assert "(new; back it up" in lines[2]
        assert (tmp_path / "vecguard.key").stat().st_mode & 0o777 == 0o600
        assert (tmp_path / "vecguard-data").is_dir()
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=180)
        assert process.returncode == 0
        assert not re.search(r"Traceback|error", errors)
    finally:
        process.kill()


def test_an_address_in_use_is_said(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = started(tmp_path, "--listen", address, "--rest", "off")
        _, errors = process.communicate(timeout=180)
    assert process.returncode == 1
    assert f"vecguard serve: cannot listen on {address}" in errors
    assert "Traceback" not in errors
