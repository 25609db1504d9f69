"""SoftHSM 2, a PKCS #11 module in software: found, or unpacked from Debian's package, and given a token of its own."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import secrets
import subprocess
from pathlib import Path

PIN = "58291047"
TOKEN = "vecguard tests"
_PLACES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/softhsm/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
)
_UNPACKED = Path(__file__).parents[2] / ".softhsm"
_FETCH = Path(__file__).with_name("fetch_softhsm.sh")


@functools.cache
def module() -> str | None:
    """The module's file; None: it is not on this machine, and Debian's package cannot be had either."""
    places = [os.environ.get("SOFTHSM2_MODULE", ""), *_PLACES]
    found = [place for place in places if place and Path(place).is_file()]
    if found:
        return found[0]
    # One of several test processes unpacks it: another may have it loaded, which a second unpacking would pull away.
    with _UNPACKED.with_name(".softhsm.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(_UNPACKED.rglob("libsofthsm2.so")):
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(["sh", str(_FETCH), str(_UNPACKED)], check=False, timeout=120, capture_output=True)
    unpacked = [path for path in _UNPACKED.rglob("libsofthsm2.so") if path.is_file()]
    return str(unpacked[0]) if unpacked else None


def configure(folder: Path) -> dict[str, str]:
    """The environment variables under which the module keeps its tokens in `folder`. Set them before it is loaded."""
    tokens, settings = folder / "tokens", folder / "softhsm2.conf"
    tokens.mkdir()
    settings.write_text(f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n")
    return {"SOFTHSM2_CONF": str(settings)}


class FunctionList(ctypes.Structure):
    """The head of CK_FUNCTION_LIST (PKCS #11 v2.40): version, then pointers in the order of the specification."""

    _fields_ = (("version", ctypes.c_ubyte * 2), ("functions", ctypes.c_void_p * 68))


# Positions of functions in CK_FUNCTION_LIST.
_GET_SLOT_LIST, _INIT_TOKEN, _INIT_PIN, _OPEN_SESSION, _CLOSE_SESSION, _LOGIN = 4, 9, 10, 12, 13, 18
_SERIAL_AND_RW = 0x4 | 0x2


def make_token(path: str) -> None:
    """C_InitToken and C_InitPIN, which the Python library does not offer. The module must be initialised already."""
    library = ctypes.CDLL(path)
    table = ctypes.POINTER(FunctionList)()
    assert library.C_GetFunctionList(ctypes.byref(table)) == 0

    def call(position: int, *arguments: object) -> None:
        prototype = ctypes.CFUNCTYPE(ctypes.c_ulong, *(type(argument) for argument in arguments))
        code = prototype(table.contents.functions[position])(*arguments)
        assert code == 0, f"PKCS #11 function {position}: error {code:#x}"

    count = ctypes.c_ulong(16)
    slots = (ctypes.c_ulong * 16)()
    listed, counted = ctypes.cast(slots, ctypes.c_void_p), ctypes.cast(ctypes.byref(count), ctypes.c_void_p)
    call(_GET_SLOT_LIST, ctypes.c_ubyte(0), listed, counted)
    slot = ctypes.c_ulong(slots[count.value - 1])  # SoftHSM: the last slot is the one without a token
    officer = secrets.token_hex(8).encode()
    label = TOKEN.encode().ljust(32)
    call(_INIT_TOKEN, slot, ctypes.c_char_p(officer), ctypes.c_ulong(len(officer)), ctypes.c_char_p(label))
    session = ctypes.c_ulong()
    at = ctypes.cast(ctypes.byref(session), ctypes.c_void_p)
    call(_OPEN_SESSION, slot, ctypes.c_ulong(_SERIAL_AND_RW), ctypes.c_void_p(), ctypes.c_void_p(), at)
    call(_LOGIN, session, ctypes.c_ulong(0), ctypes.c_char_p(officer), ctypes.c_ulong(len(officer)))
    call(_INIT_PIN, session, ctypes.c_char_p(PIN.encode()), ctypes.c_ulong(len(PIN)))
    call(_CLOSE_SESSION, session)
