"""`vecguard trail verify` names what was altered, and what could not be checked."""

import json
import secrets

from structlog.testing import capture_logs
from typer.testing import CliRunner

from vecguard.cli import app
from vecguard.journal.chain import CONTEXT
from vecguard.journal.writer import Journal
from vecguard.keys.file import FileKeyProvider
from vecguard.keys.key import Key


def made(folder):
    """A journal of three events, closed, its key, and the log that was written meanwhile."""
    provider = FileKeyProvider.create(folder / "key")
    key = secrets.token_bytes(32)
    with capture_logs() as logs:
        book = Journal(folder / "trail", 0, key, provider.wrap(Key(key), CONTEXT), file_bytes=1 << 20)
        book.write([b'{"event":"call","n":%d}' % number for number in range(3)])
        book.close()
    (folder / "log").write_text("".join(json.dumps(line) + "\n" for line in logs))
    (file,) = (folder / "trail").iterdir()
    return file


def verified(folder, *files, log=True, key="key"):
    logs = ["--log", str(folder / "log")] if log else []
    keyed = ["--key", f"file:{folder / key}"]
    return CliRunner().invoke(app, ["trail", "verify", *map(str, files), *logs, *keyed])


def test_a_whole_file(tmp_path):
    result = verified(tmp_path, made(tmp_path))
    assert (result.exit_code, "whole" in result.stdout, "closed" in result.stdout) == (0, True, True)
    assert "Ends were not checked" not in result.stdout


def test_without_a_log_it_says_what_was_not_checked(tmp_path):
    assert "Ends were not checked" in verified(tmp_path, made(tmp_path), log=False).stdout


def test_an_altered_file(tmp_path):
    file = made(tmp_path)
    file.write_bytes(file.read_bytes().replace(b'"n":1', b'"n":7'))
    result = verified(tmp_path, file)
    assert result.exit_code == 1
    assert f"{file.name}: line 2: does not authenticate" in result.stdout


def test_a_cut_off_file(tmp_path):
    file = made(tmp_path)
    file.write_bytes(b"".join(file.read_bytes().splitlines(keepends=True)[:2]))
    assert verified(tmp_path, file, log=False).exit_code == 0
    result = verified(tmp_path, file)
    assert (result.exit_code, "cut off" in result.stdout) == (1, True)


def test_another_key_or_no_file(tmp_path):
    file = made(tmp_path)
    FileKeyProvider.create(tmp_path / "other")
    result = verified(tmp_path, file, key="other")
    assert (result.exit_code, "its key does not open" in result.stdout) == (1, True)
    result = verified(tmp_path, tmp_path / "none")
    assert (result.exit_code, "No such file" in result.stderr) == (1, True)
    result = verified(tmp_path, file, key="nowhere")
    assert (result.exit_code, "vecguard trail verify:" in result.stderr) == (1, True)
