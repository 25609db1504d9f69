"""`vecguard engine` serves a data folder on its own."""

import os
import signal
import subprocess
import sys

import grpc
from qdrant_client import grpc as q
from typer.testing import CliRunner

from vecguard.cli import app


def test_it_serves_a_folder_until_it_is_told_to_stop(tmp_path):
    socket = tmp_path / "e.sock"
    process = subprocess.Popen(
        [sys.executable, "-m", "vecguard", "engine", "--data", "data", "--listen", f"unix:{socket}"],
        cwd=tmp_path,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith("serving data on unix:")
        with grpc.insecure_channel(f"unix:{socket}") as channel:
            assert q.QdrantStub(channel).HealthCheck(q.HealthCheckRequest(), timeout=60).title
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()


def test_both_options_are_needed():
    for arguments in ([], ["--data", "d"], ["--listen", "127.0.0.1:1"]):
        result = CliRunner().invoke(app, ["engine", *arguments])
        assert result.exit_code == 2
        assert "Missing option" in result.stderr


def test_a_folder_that_cannot_be_used_is_said(tmp_path):
    (tmp_path / "data").write_text("a file")
    result = CliRunner().invoke(app, ["engine", "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0"])
    assert result.exit_code == 1
    assert "Traceback" not in result.output
