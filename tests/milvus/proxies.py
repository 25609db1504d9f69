"""`vecguard serve` before a Milvus server, as a server of the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving import free_port

from milvus.servers import MilvusServer


@dataclass
class MilvusProxy(MilvusServer):
    """`vecguard serve` and what it runs with. `data` is the folder of the database behind it."""

    policy: Path | None = None
    key_file: Path | None = None


@contextlib.contextmanager
def serving_milvus(
    folder: Path,
    behind: MilvusServer,
    policy: str | None = None,
    *,
    key_file: Path | None = None,
    arguments: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
) -> Iterator[MilvusProxy]:
    """`vecguard serve` on a free port, before `behind`.

    Args:
        folder: its working folder: key, policy and log.
        behind: the database.
        policy: the policy file's text (YAML); None: the default policy.
        key_file: another key than `folder/vecguard.key`.
        arguments: further arguments of `vecguard serve`.
        environ: further variables, such as a `TMPDIR` as another host has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port, log = free_port(), folder / "proxy.log"
    key_file = key_file or folder / "vecguard.key"
    command = ["vecguard", "serve", "--upstream", f"milvus://{behind.target}", "--key-file", str(key_file)]
    command += ["--milvus-listen", f"127.0.0.1:{port}", *arguments]
    file: Path | None = None
    if policy is not None:
        file = folder / "policy.yaml"
        file.write_text(policy, encoding="utf-8")
        command += ["--policy", str(file)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"} | dict(environ or {}),
            cwd=folder,
        )
    server = MilvusProxy(process, port, behind.data, log, policy=file, key_file=key_file)
    try:
        server.wait_until_healthy()
        yield server
    finally:
        server.stop()
