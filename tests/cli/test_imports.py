"""The command line without numpy: commands say how many threads it may start before it is first imported."""

from __future__ import annotations

import subprocess
import sys


def test_the_command_line_does_not_import_numpy() -> None:
    code = "import sys, vecguard.cli; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
