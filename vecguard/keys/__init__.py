"""Keys that cannot print or pickle, the ring of a collection's data keys, and the providers that wrap them."""

from vecguard.keys.key import Key
from vecguard.keys.provider import KeyProvider
from vecguard.keys.ring import KeyRing

__all__ = ["Key", "KeyProvider", "KeyRing"]
