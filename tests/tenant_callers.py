"""Callers that say themselves whose they are, by the attribute `org`: of one tenant, of none, of two."""

from __future__ import annotations

from collections.abc import Mapping

from vecguard.policy.credentials import hash_key

CALLERS = {"ada": "{org: ada}", "bob": "{org: bob}", "seven": "{org: 7}", "nobody": "{}", "two": "{org: [ada, bob]}"}


def api_keys(callers: Mapping[str, str]) -> str:
    """The policy's lines of API keys, `vgk_NAME` each, for names and their attributes as YAML."""
    return "\n".join(
        f'    - {{name: {name}, hash: "{hash_key("vgk_" + name)}", roles: [read, write, admin], attributes: {said}}}'
        for name, said in callers.items()
    )
