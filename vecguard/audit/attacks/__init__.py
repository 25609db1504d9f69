"""The attacks. A new one is one file and one line here."""

from __future__ import annotations

from typing import Final

from vecguard.errors import ConfigError
from vecguard.registry import Registry

ATTACKS: Final[Registry[type]] = Registry(
    "attack",
    {
        "inversion": "vecguard.audit.attacks.inversion:Inversion",
        "alignment": "vecguard.audit.attacks.alignment:Alignment",
        "linkage": "vecguard.audit.attacks.linkage:Linkage",
        "mixture": "vecguard.audit.attacks.mixture:Mixture",
        "queries": "vecguard.audit.attacks.queries:KnownQueries",
        "permutation": "vecguard.audit.attacks.permutation:PermutationMatching",
        "unsupervised": "vecguard.audit.attacks.unsupervised:Unsupervised",
        "denoise": "vecguard.audit.attacks.denoise:Denoise",
        "rewrites": "vecguard.audit.attacks.averaging:Rewrites",
        "copies": "vecguard.audit.attacks.averaging:Copies",
        "attribute": "vecguard.audit.attacks.inference:AttributeInference",
        "membership": "vecguard.audit.attacks.inference:MembershipInference",
        "personal": "vecguard.audit.attacks.personal:PersonalData",
        "trilateration": "vecguard.audit.attacks.trilateration:Trilateration",
    },
)


def attack_names(only: str = "") -> list[str]:
    """The attacks of a comma-separated list, all for an empty one, in the registry's order.

    Raises:
        ConfigError: an unknown name.
    """
    wanted = [name.strip() for name in only.split(",") if name.strip()] or list(ATTACKS.kinds)
    if unknown := [name for name in wanted if name not in ATTACKS.kinds]:
        raise ConfigError(f"there is no attack {unknown[0]!r}; known: {', '.join(ATTACKS.kinds)}")
    return [name for name in ATTACKS.kinds if name in wanted]
