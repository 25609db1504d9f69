"""A second implementation of docs/formats.md, from its text alone, and the known answers that it gives.

It shares nothing with the package: HKDF from HMAC, CTR and GCM from the `cryptography` library's own modes, SIV from
CMAC and CTR by RFC 5297, Box-Muller by `math`, orthogonal matrices by Gram-Schmidt. Run as a script it writes the JSON
files; as a test it holds them against what it computes now, so that none can be edited by hand.
"""

from __future__ import annotations

import base64
import bisect
import hashlib
import hmac
import itertools
import json
import math
import struct
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC

FOLDER = Path(__file__).parent
DATA_KEY = bytes(range(32))
OTHER_KEY = bytes(range(100, 132))
COLLECTION = uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100").bytes
POINT_7 = b"\x01" + (7).to_bytes(8, "big")
POINT_UUID = b"\x02" + uuid.UUID("936da01f-9abd-4d9d-80c7-02af85c822a8").bytes


def joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def hkdf(secret: bytes, n: int, *texts: str) -> bytes:
    info = joined(b"vecguard.hkdf.1", n.to_bytes(4, "big"), *(text.encode() for text in texts))
    pseudorandom = hmac.new(bytes(32), secret, hashlib.sha256).digest()
    block, out = b"", b""
    for counter in range(1, -(-n // 32) + 1):
        block = hmac.new(pseudorandom, block + info + bytes([counter]), hashlib.sha256).digest()
        out += block
    return out[:n]


def ctr(key: bytes, start: bytes, data: bytes) -> bytes:
    return Cipher(algorithms.AES(key), modes.CTR(start)).encryptor().update(data)


def words(key: bytes, nonce: bytes, count: int) -> list[int]:
    return list(struct.unpack(f"<{count}I", ctr(key, nonce + bytes(4), bytes(4 * count))))


def normals(key: bytes, nonce: bytes, dims: int) -> list[float]:
    half = (dims + 1) // 2
    stream = words(key, nonce, 2 * half)
    uniform = [(word + 0.5) / 2**32 for word in stream]
    radius = [math.sqrt(-2 * math.log(u)) for u in uniform[:half]]
    angle = [2 * math.pi * u for u in uniform[half:]]
    cosines = [r * math.cos(t) for r, t in zip(radius, angle, strict=True)]
    sines = [r * math.sin(t) for r, t in zip(radius, angle, strict=True)]
    return (cosines + sines)[:dims]


def haar(key: bytes, dims: int, layer: int, block: int) -> np.ndarray:
    gaussian = np.array([normals(key, struct.pack(">III", layer, block, row), dims) for row in range(dims)])
    columns: list[np.ndarray] = []
    for column in gaussian.T:
        rest = column.copy()
        for done in columns * 2:  # twice is enough for full precision
            rest -= (rest @ done) * done
        columns.append(rest / np.sqrt(rest @ rest))
    return np.array(columns).T


def permutation(key: bytes, dims: int, layer: int) -> list[int]:
    stream = words(key, struct.pack(">III", layer, 2**32 - 1, 0), 2 * dims)
    order = [low + (high << 32) for low, high in zip(stream[0::2], stream[1::2], strict=True)]
    return sorted(range(dims), key=lambda index: order[index])


def butterfly(key: bytes, x: np.ndarray, block: int, layers: int) -> np.ndarray:
    for layer in range(layers):
        x = x[permutation(key, len(x), layer)]
        pieces = x.reshape(-1, block)
        x = np.concatenate([haar(key, block, layer, index) @ piece for index, piece in enumerate(pieces)])
    return x


def permuted_index(key: bytes, index: int) -> int:
    left, right = index >> 16, index & 0xFFFF
    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    for i in range(10):
        out = cipher.update(struct.pack(">II", i, right) + bytes(8))
        left, right = right, left ^ int.from_bytes(out[:2], "little")
    return left << 16 | right


def padme(length: int) -> int:
    exponent = math.floor(math.log2(length))
    last = exponent - (math.floor(math.log2(exponent)) + 1)
    return -(-length // 2**last) * 2**last


def leaf(value: bool | float | str) -> bytes:
    if isinstance(value, bool):
        tag, body = 1, bytes([value])
    elif isinstance(value, int):
        tag, body = 2, value.to_bytes(8, "big", signed=True)
    elif isinstance(value, float):
        tag, body = 3, struct.pack(">d", value)
    else:
        tag, body = 4, value.encode()
    content = bytes([tag]) + len(body).to_bytes(4, "big") + body
    return content.ljust(max(16, padme(len(content))), b"\0")


def cmac(key: bytes, data: bytes) -> bytes:
    mac = CMAC(algorithms.AES(key))
    mac.update(data)
    return mac.finalize()


def xored(a: bytes, b: bytes) -> bytes:
    return bytes(x ^ y for x, y in zip(a, b, strict=True))


def doubled(block: bytes) -> bytes:
    number = int.from_bytes(block, "big") << 1
    return ((number & (2**128 - 1)) ^ (0x87 if number >> 128 else 0)).to_bytes(16, "big")


def siv(key: bytes, aad: bytes | None, plain: bytes) -> bytes:
    mac_key, ctr_key = key[: len(key) // 2], key[len(key) // 2 :]
    chain = cmac(mac_key, bytes(16))
    if aad is not None:
        chain = xored(doubled(chain), cmac(mac_key, aad))
    if len(plain) >= 16:
        tag = cmac(mac_key, plain[:-16] + xored(plain[-16:], chain))
    else:
        tag = cmac(mac_key, xored(doubled(chain), (plain + b"\x80").ljust(16, b"\0")))
    start = bytearray(tag)
    start[8] &= 0x7F
    start[12] &= 0x7F
    return tag + ctr(ctr_key, bytes(start), plain)


def gcm(key: bytes, nonce: bytes, aad: bytes, plain: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(plain) + encryptor.finalize() + encryptor.tag


def head(kind: int, flags: int, epoch: int) -> bytes:
    return struct.pack(">BBBI", 1, kind, flags, epoch)


def text(data: bytes) -> str:
    return "vg:" + base64.urlsafe_b64encode(data).decode().rstrip("=")


def sealed_field(path: str, value: Any, point: bytes | None, nonce: bytes, epoch: int) -> str:
    start = head(1, 0 if point else 1, epoch)
    aad = joined(start, COLLECTION, path.encode(), *([point] if point else []))
    return text(start + nonce + gcm(hkdf(DATA_KEY, 32, "field.sealed", path), nonce, aad, leaf(value)))


def searchable_field(path: str, value: Any, epoch: int) -> str:
    start = head(2, 0, epoch)
    key = hkdf(hkdf(DATA_KEY, 32, "field.searchable", path), 64, "aes-siv")
    return text(start + siv(key, joined(start, COLLECTION, path.encode()), leaf(value)))


def entry(
    kind: int,
    kind_name: str,
    name: str,
    point: bytes,
    rows: list[list[float]],
    exact: bool,
    scales: list[tuple[float, float]] | None = None,
) -> dict[str, Any]:
    """A dense or rows entry with stored scales 1.5, 2.5, ... and noise scales 0.5, 1.0, ... by row."""
    key = hkdf(DATA_KEY, 32, "entry", kind_name, name)
    x = np.array(rows, "<f4")
    nonce_key = hkdf(key, 32, "nonce")
    message = joined(name.encode()) + joined(point) + x.tobytes()
    nonce = hmac.new(nonce_key, message, hashlib.sha256).digest()[:12]
    sketcher = [normals(hkdf(key, 32, "sketch"), bytes(8) + i.to_bytes(4, "big"), 8) for i in range(x.shape[1])]
    sketch = (x.astype(float) @ np.array(sketcher, np.float32).astype(float)).astype("<f4")
    scales = scales or [(row + 1.5, (row + 1) / 2) for row in range(len(rows))]
    table = b"".join(
        struct.pack("<2f", *scales[row]) + sketch[row].tobytes() + (x[row].tobytes() if exact else b"")
        for row in range(len(rows))
    )
    start = head(kind, int(exact), 3)
    aad = joined(start, COLLECTION, name.encode(), point, nonce)
    sealed = start + nonce + siv(hkdf(key, 64, "box"), aad, table)
    return {
        "vector_name": name,
        "point_id": point.hex(),
        "rows": x.tolist(),
        "exact": exact,
        "stored_scale": [scale for scale, _ in scales],
        "noise_scale": [scale for _, scale in scales],
        "nonce": nonce.hex(),
        "sketch": sketch.tolist(),
        "entry": sealed.hex(),
    }


def rows_entry(name: str, point: bytes, rows: list[list[float]], exact: bool) -> dict[str, Any]:
    record = entry(4, "ROWS_ENTRY", name, point, rows, exact)
    row_key = hkdf(DATA_KEY, 32, "entry.rows", name)
    cipher = Cipher(algorithms.AES(row_key), modes.ECB()).encryptor()
    nonces = [cipher.update(bytes.fromhex(record["nonce"]) + row.to_bytes(4, "big"))[:12] for row in range(len(rows))]
    return record | {"row_nonces": [nonce.hex() for nonce in nonces]}


def sparse_entry(name: str, point: bytes, indices: list[int], values: list[float]) -> dict[str, Any]:
    start = head(5, 0, 3)
    pairs = sorted(zip(indices, values, strict=True))
    body = struct.pack("<I", len(pairs)) + b"".join(struct.pack("<I", index) for index, _ in pairs)
    body += b"".join(struct.pack("<f", value) for _, value in pairs)
    message = joined(start, COLLECTION, name.encode(), point, body)
    tag = hmac.new(hkdf(DATA_KEY, 32, "entry.sparse", name), message, hashlib.sha256).digest()[:16]
    return {
        "vector_name": name,
        "point_id": point.hex(),
        "indices": indices,
        "values": values,
        "entry": (start + tag).hex(),
    }


def wrapped_key(context: bytes, nonce: bytes) -> dict[str, str]:
    start = b"\x01" + hkdf(OTHER_KEY, 8, "kek.id")
    box = gcm(hkdf(OTHER_KEY, 32, "kek.wrap"), nonce, joined(b"vecguard.wrap", start, context), DATA_KEY)
    return {
        "kek": OTHER_KEY.hex(),
        "key_id": start[1:].hex(),
        "context": context.hex(),
        "data_key": DATA_KEY.hex(),
        "wrapped": (start + nonce + box).hex(),
    }


def key_files() -> list[dict[str, Any]]:
    key_id = hkdf(OTHER_KEY, 8, "kek.id").hex()
    plain = f"vecguard key 1\nid: {key_id}\nkey: {base64.b64encode(OTHER_KEY).decode()}\n"
    passphrase, salt, nonce = "größe und geduld", bytes(range(16)), bytes(range(20, 32))
    head = f"vecguard key 2\nid: {key_id}\nscrypt: 12 8 2 {base64.b64encode(salt).decode()}\n"
    key = hashlib.scrypt(passphrase.encode(), salt=salt, n=2**12, r=8, p=2, maxmem=2**26, dklen=32)
    box = nonce + gcm(key, nonce, joined(b"vecguard.key-file", head.encode()), OTHER_KEY)
    encrypted = f"{head}key: {base64.b64encode(box).decode()}\n"
    return [
        {"key_id": key_id, "passphrase": None, "text": plain},
        {"key_id": key_id, "passphrase": passphrase, "text": encrypted},
    ]


def enclosed_key(provider: int, context: bytes) -> dict[str, Any]:
    """What a provider elsewhere is given to encrypt: the data key and what binds it to its context."""
    aad = joined(b"vecguard.wrap", bytes([2, provider]), context)
    return {
        "provider": provider,
        "context": context.hex(),
        "associated_data": aad.hex(),
        "plaintext": (DATA_KEY + hashlib.sha256(aad).digest()).hex(),
    }


def manifest_text(content: dict[str, Any], purpose: str) -> str:
    body = json.dumps(content, sort_keys=True, separators=(",", ":"))
    start = "vgm1." + base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
    key = hkdf(DATA_KEY, 32, "manifest", purpose, COLLECTION.hex())
    tag = hmac.new(key, start.encode(), hashlib.sha256).digest()
    return start + "." + base64.urlsafe_b64encode(tag).decode().rstrip("=")


def manifest_file() -> dict[str, Any]:
    wrapped = wrapped_key(b"vecguard data key" + COLLECTION + b"\0\0\0\1", bytes(range(12)))["wrapped"]
    core = {
        "format": 1,
        "uuid": str(uuid.UUID(bytes=COLLECTION)),
        "collection": "größe",
        "created": "2025-01-02T03:04:05Z",
        "epochs": {"1": base64.urlsafe_b64encode(bytes.fromhex(wrapped)).decode().rstrip("=")},
        "current": 1,
        "payload": {"default": "sealed", "fields": {'meta."a.b"': "searchable", "open": "plain"}},
    }
    rules = ({"field": "meta.tenant", "attribute": None}, {"field": None, "attribute": "org"})
    tenants = [core | {"tenants": rule} for rule in rules]
    noise = [{"kind": "rotation"}, {"kind": "gaussian", "ratio": 1.0}]
    shape = {"dims": 6, "distance": "cosine", "half": False, "kind": "dense", "recover": "derived"}
    vectors = [
        {"name": "", "transforms": noise, **shape},
        {"name": "größe", "transforms": noise[:1], **shape, "kind": "multi", "half": True, "recover": "sealed"},
        {"name": "bm25", "transforms": [], **shape, "kind": "sparse", "dims": 0, "distance": "dot"},
    ]
    return {
        "kek": OTHER_KEY.hex(),
        "core": {"content": core, "text": manifest_text(core, "core")},
        "tenants": [{"content": one, "text": manifest_text(one, "core")} for one in tenants],
        "vectors": [{"content": v, "text": manifest_text(v, f"vector:{v['name']}")} for v in vectors],
    }


def keys_file() -> dict[str, Any]:
    cases = [(32, ["a"]), (32, ["a", "b"]), (32, ["ab"]), (64, ["a"]), (100, ["field", "größe", ""])]
    derived = [{"n": n, "purpose": p[0], "context": p[1:], "bytes": hkdf(DATA_KEY, n, *p).hex()} for n, p in cases]
    return {
        "data_key": DATA_KEY.hex(),
        "derived": derived,
        "wrapped": [wrapped_key(COLLECTION + b"\0\0\0\3", bytes(12)), wrapped_key(b"", bytes(range(12)))],
        "key_files": key_files(),
        "enclosed": [enclosed_key(provider, COLLECTION + b"\0\0\0\3") for provider in (1, 2, 3, 4, 5)],
    }


def keystream_file() -> dict[str, Any]:
    nonces = [bytes(12), bytes(range(12)), b"\xff" * 12]
    streams = [{"nonce": nonce.hex(), "words": words(DATA_KEY, nonce, 11)} for nonce in nonces]
    deviates = [
        {"nonce": n.hex(), "dims": d, "normals": normals(DATA_KEY, n, d)} for n in nonces for d in (1, 2, 7, 10)
    ]
    return {"key": DATA_KEY.hex(), "words": streams, "normals": deviates}


def rotation_file() -> dict[str, Any]:
    x = [math.sin(index + 1) for index in range(64)]
    return {
        "key": DATA_KEY.hex(),
        "haar": [{"dims": dims, "matrix": haar(DATA_KEY, dims, 0, 0).tolist()} for dims in (1, 2, 5, 12)],
        "permutation": {"dims": 20, "layer": 2, "order": permutation(DATA_KEY, 20, 2)},
        "butterfly": {"block": 16, "layers": 3, "x": x, "y": butterfly(DATA_KEY, np.array(x), 16, 3).tolist()},
    }


def fraction(key: bytes, nonce: bytes) -> float:
    low, high = words(key, nonce, 2)
    return ((low + (high << 32) >> 11) + 0.5) / 2**53


def quantile(log_density: Callable[[float], float], mode: float, ends: tuple[float, float], u: float) -> float:
    peak = log_density(mode)
    bounds = []
    for end in ends:
        inside, outside = mode, end
        if log_density(end) <= peak - 60:
            for _ in range(60):
                middle = (inside + outside) / 2
                if log_density(middle) > peak - 60:
                    inside = middle
                else:
                    outside = middle
        bounds.append(outside)
    nodes = [bounds[0] + (bounds[1] - bounds[0]) * i / 8192 for i in range(8193)]
    weights = [math.exp(log_density(node) - peak) for node in nodes]
    below = [0.0]
    for left, right in itertools.pairwise(weights):
        below.append(below[-1] + (left + right) / 2)
    place = u * below[-1]
    i = bisect.bisect_right(below, place) - 1
    return nodes[i] + (nodes[i + 1] - nodes[i]) * (place - below[i]) / (below[i + 1] - below[i])


def log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def direction(key: bytes, nonce: bytes, dims: int) -> np.ndarray:
    deviates = np.array(normals(key, nonce, dims))
    return deviates / math.sqrt(float(deviates @ deviates))


def ball_noise(key: bytes, nonce: bytes, dims: int, factor: float) -> np.ndarray:
    return factor / 4 * fraction(hkdf(key, 32, "length"), nonce) ** (1 / dims) * direction(key, nonce, dims)


def laplace_noise(key: bytes, nonce: bytes, dims: int, epsilon: float) -> np.ndarray:
    u = fraction(hkdf(key, 32, "length"), nonce)
    length = quantile(lambda g: (dims - 1) * log(g) - g, dims - 1, (0.0, 4.0 * (dims + 60)), u)
    return length / epsilon * direction(key, nonce, dims)


def turned_vector(key: bytes, nonce: bytes, x: np.ndarray, kind: str, epsilon: float) -> np.ndarray:
    """The unit vector x turned, before it is divided by A."""
    over = len(x) - 2
    if kind == "purkayastha":
        mode = math.atan2(over, epsilon)
        density: Callable[[float], float] = lambda t: over * log(math.sin(t)) - epsilon * t  # noqa: E731
    else:
        mode = math.acos(2 * epsilon / (over + math.sqrt(over**2 + 4 * epsilon**2)))
        density = lambda t: over * log(math.sin(t)) + epsilon * math.cos(t)  # noqa: E731
    angle = quantile(density, mode, (0.0, math.pi), fraction(hkdf(key, 32, "angle"), nonce))
    away = np.array(normals(key, nonce, len(x)))
    away -= (away @ x) * x
    return math.cos(angle) * x + math.sin(angle) * away / math.sqrt(float(away @ away))


def noises_file() -> dict[str, Any]:
    nonces = [bytes(range(12)), b"\xff" * 12]
    x = np.array([math.sin(index + 1) for index in range(24)])
    x /= math.sqrt(float(x @ x))
    cases: list[dict[str, Any]] = []
    for nonce in nonces:
        for dims in (3, 24):
            shared = {"nonce": nonce.hex(), "dims": dims}
            ball, laplace = ball_noise(DATA_KEY, nonce, dims, 4.0), laplace_noise(DATA_KEY, nonce, dims, 30.0)
            cases.append({"kind": "scale-and-perturb", "approximation_factor": 4.0, **shared, "noise": ball.tolist()})
            cases.append({"kind": "laplace", "epsilon": 30.0, **shared, "noise": laplace.tolist()})
        for kind, epsilon in (("purkayastha", 20.0), ("von-mises-fisher", 35.0)):
            turned = turned_vector(DATA_KEY, nonce, x, kind, epsilon)
            cases.append(
                {"kind": kind, "epsilon": epsilon, "nonce": nonce.hex(), "dims": 24, "turned": turned.tolist()}
            )
    return {"key": DATA_KEY.hex(), "x": x.tolist(), "cases": cases}


def random_matrix(key: bytes, rows: int, columns: int, form: str) -> np.ndarray:
    nonces = [struct.pack(">III", 0, 0, row) for row in range(rows)]
    if form == "gaussian":
        return np.array([normals(key, nonce, columns) for nonce in nonces])
    values = {0: math.sqrt(3), 1: -math.sqrt(3)}
    return np.array([[values.get(6 * word >> 32, 0.0) for word in words(key, nonce, columns)] for nonce in nonces])


def rounded(y: list[float], kind: str) -> list[float]:
    if kind == "binary":
        size = sum(map(abs, y)) / len(y)
        return [size if value >= 0 else -size for value in y]
    step = max(map(abs, y)) / 127
    return [round(value / step) * step for value in y]


def artefact(kind: str, arrays: dict[str, Any], facts: dict[str, float] | None = None) -> bytes:
    shapes = [[name, list(np.shape(array))] for name, array in arrays.items()]
    said = {"facts": facts} if facts else {}
    header = json.dumps({"kind": kind, "arrays": shapes, **said}, separators=(",", ":")).encode()
    flat = [value for array in arrays.values() for value in np.ravel(array).tolist()]
    return b"VGA1" + struct.pack("<I", len(header)) + header + struct.pack(f"<{len(flat)}f", *flat)


def projections_file() -> dict[str, Any]:
    x = [math.sin(index + 1) for index in range(12)]
    forms = ("gaussian", "sparse")
    random = {form: (random_matrix(DATA_KEY, 5, 12, form) @ x / math.sqrt(5)).tolist() for form in forms}
    length, kept = (math.sqrt(sum(value**2 for value in part)) for part in (x, x[:5]))
    mean, axes = [0.125 * i for i in range(3)], [[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]]
    content = artefact("pca", {"mean": mean, "axes": axes})
    point = np.array([0.5, -1.0, 2.0])
    first, second = (
        np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 0.25], [0.5, 0.0, -1.0]]),
        np.array([[1.0, 2.0, 0.5], [0.25, -1.0, 3.0]]),
    )
    biases = np.array([0.125, -0.25, 0.5]), np.array([-0.5, 0.75])
    layers = {"weights 0": first, "bias 0": biases[0], "weights 1": second, "bias 1": biases[1]}
    privacy = {"epsilon_rdp": 8.5, "epsilon_prv": 7.75, "delta": 1e-05, "noise_multiplier": 0.875, "clip": 1.0}
    network = artefact("learned", layers, {**privacy, "sample_rate": 0.125, "steps": 300.0})
    norm = np.linalg.norm(point)
    mapped = second @ np.maximum(first @ (point / norm) + biases[0], 0.0) + biases[1]
    nonces = [bytes([number]) * 12 for number in range(12)]
    return {
        "key": DATA_KEY.hex(),
        "x": x,
        "johnson-lindenstrauss": random,
        "cells": {
            "data_key": DATA_KEY.hex(),
            "count": 5,
            "nonces": [nonce.hex() for nonce in nonces],
            "cells": [5 * words(hkdf(DATA_KEY, 32, "transform cells", "größe"), nonce, 1)[0] >> 32 for nonce in nonces],
            "rotation_key_of_cell_3": hkdf(DATA_KEY, 32, "transform rotation", "größe", "cell 3").hex(),
        },
        "truncate": [value * length / kept for value in x[:5]],
        "rounded": {kind: rounded(x, kind) for kind in ("int8", "binary")},
        "pca": {
            "artefact": content.hex(),
            "sha256": hashlib.sha256(content).hexdigest(),
            "x": point.tolist(),
            "y": (np.array(axes) @ (point - np.array(mean))).tolist(),
        },
        "learned": {
            "artefact": network.hex(),
            "sha256": hashlib.sha256(network).hexdigest(),
            "x": point.tolist(),
            "y": (norm * mapped / np.linalg.norm(mapped)).tolist(),
        },
    }


def indices_file() -> dict[str, Any]:
    indices = [0, 1, 2, 65_535, 65_536, 123_456_789, 2**31, 2**32 - 1]
    return {"key": DATA_KEY.hex(), "indices": indices, "permuted": [permuted_index(DATA_KEY, i) for i in indices]}


def fields_file() -> dict[str, Any]:
    values: list[Any] = [True, False, 0, -1, 2**63 - 1, -(2**63), 0.0, -0.0, 1.0, 1e308, "", "x", "größe €", "a" * 300]
    cases = []
    for number, value in enumerate(values):
        point = [POINT_7, POINT_UUID, None][number % 3]
        path = ["/name", "/a/b~1c", "/größe"][number % 3]
        cases.append({
            "path": path,
            "type": type(value).__name__,
            "value": struct.pack(">d", value).hex() if isinstance(value, float) else value,
            "leaf": leaf(value).hex(),
            "point_id": point.hex() if point else None,
            "sealed": sealed_field(path, value, point, bytes([number]) * 12, 3),
            "searchable": searchable_field(path, value, 3),
        })  # fmt: skip
    lengths = [(n, max(16, padme(n))) for n in (*range(16, 70), 255, 256, 257, 1000, 4097, 65_537, 10**6, 2**31)]
    return {
        "data_key": DATA_KEY.hex(),
        "epoch": 3,
        "collection": COLLECTION.hex(),
        "padded": lengths,
        "fields": cases,
    }


def order_key(value: Any) -> int:
    """Key of a number (float) or of an integer taken whole."""
    if isinstance(value, int):
        return value + 2**63
    bits = int.from_bytes(struct.pack(">d", value if value else 0.0), "big")
    return 2**64 - 1 - bits if bits >> 63 else bits + 2**63


def node_label(key: bytes, order: int, depth: int, node: int) -> str:
    block = bytes([order, depth]) + bytes(6) + node.to_bytes(8, "big")
    made = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)
    return base64.urlsafe_b64encode(made[:8]).decode().rstrip("=")


def labelled(path: str, value: Any, order: int, key: int | None) -> tuple[str, list[str]]:
    field = hkdf(DATA_KEY, 32, "field.range", path)
    mac = hmac.new(hkdf(field, 32, "equal"), leaf(value), hashlib.sha256).digest()
    nodes = hkdf(field, 32, "nodes")
    prefixes = [] if key is None else [(depth, key >> 4 * (16 - depth) << 4 * (16 - depth)) for depth in range(1, 17)]
    equal = base64.urlsafe_b64encode(mac[:8]).decode().rstrip("=")
    return equal, [node_label(nodes, order, depth, node) for depth, node in prefixes]


def covering(low: int, high: int, depth: int = 0, node: int = 0) -> list[tuple[int, int]]:
    """Nodes from the top down: whole where the interval holds it, split where it holds a part of it."""
    last = node + 16 ** (16 - depth) - 1
    if high < node or low > last:
        return []
    if depth and low <= node and last <= high:
        return [(depth, node)]
    return [found for digit in range(16) for found in covering(low, high, depth + 1, node + digit * 16 ** (15 - depth))]


def word_labels(path: str, words: list[str]) -> list[str]:
    key = hkdf(DATA_KEY, 32, "field.tokens", path)
    made = [hmac.new(key, word.encode(), hashlib.sha256).digest()[:8] for word in words]
    return sorted(base64.urlsafe_b64encode(label).decode().rstrip("=") for label in made)


def labels_file() -> dict[str, Any]:
    time = 1_709_208_000_000_000
    cases: list[tuple[Any, bool, int | None]] = [
        *[(value, False, None) for value in (0, -1, 5, 2**53 + 1, -(2**63), 0.0, -0.0, 0.1, -2.5, 1e308, 5e-324)],
        *[(value, True, None) for value in (0, -1, 2**53 + 1, 2**63 - 1)],
        *[("2024-02-29T12:00:00Z", False, time), ("red", False, None), (True, False, None), ("", False, None)],
    ]
    values = []
    for number, (value, whole, moment) in enumerate(cases):
        path = ["/price", "/a/b~1c"][number % 2]
        order = 2 if moment is not None else 3 if whole else 1
        ordered = moment if moment is not None else value if whole else float(value) if type(value) is not str else None
        key = None if ordered is None or type(value) is bool else order_key(ordered)
        equal, nodes = labelled(path, value, order, key)
        values.append({
            "path": path, "type": type(value).__name__, "whole": whole, "time": moment,
            "value": struct.pack(">d", value).hex() if isinstance(value, float) else value,
            "key": None if key is None else f"{key:016x}", "equal": equal, "nodes": nodes,
        })  # fmt: skip
    intervals = [
        (1, order_key(0.1), order_key(2.5)), (1, order_key(-1.0), order_key(1.0)), (3, order_key(-5), order_key(1000)),
        (2, order_key(time), order_key(time + 86_400_000_000 - 1)), (3, 0, 2**64 - 1), (3, 7, 6),
    ]  # fmt: skip
    key = hkdf(hkdf(DATA_KEY, 32, "field.range", "/price"), 32, "nodes")
    covers = [
        {
            "path": "/price",
            "order": order,
            "low": f"{low:016x}",
            "high": f"{high:016x}",
            "labels": sorted(node_label(key, order, *node) for node in covering(low, high)),
        }
        for order, low, high in intervals
    ]
    # Words as a reader of the page would cut these texts by hand.
    texts = [
        ("/text", "Red, green; RED-blue_2", ["red", "green", "blue", "2"]),
        ("/a/b~1c", "Größe 東京都 ΣΟΦΟΣ", ["größe", "東京都", "σοφος"]),
        ("/text", "", []),
    ]
    return {
        "data_key": DATA_KEY.hex(),
        "epoch": 3,
        "collection": COLLECTION.hex(),
        "values": values,
        "covers": covers,
        "texts": [{"path": path, "text": text, "labels": word_labels(path, cut)} for path, text, cut in texts],
    }


def entries_file() -> dict[str, Any]:
    rows = [[math.cos(3 * row + column) for column in range(6)] for row in range(3)]
    dense = [entry(3, "DENSE_ENTRY", *case) for case in [
        ("", POINT_7, [rows[0]], False),
        ("title", POINT_UUID, [rows[1]], True),
        ("größe", POINT_7, [[0.0] * 6], True),
    ]]  # fmt: skip
    multi = [rows_entry("", POINT_7, rows, False), rows_entry("colbert", POINT_UUID, rows[:1], True)]
    sparse = [
        sparse_entry("bm25", POINT_7, [9, 2**32 - 1, 3], [0.5, -1.25, 3.0]),
        sparse_entry("", POINT_UUID, [], []),
    ]
    return {
        "data_key": DATA_KEY.hex(),
        "epoch": 3,
        "collection": COLLECTION.hex(),
        "dense": dense,
        "rows": multi,
        "sparse": sparse,
    }


def record_text(manifest: str, entries: list[tuple[str, bytes]], token: bytes) -> str:
    fields = [token, *(part for name, entry in entries for part in (name.encode(), entry))]
    return ".".join(["vgr1", manifest, *(base64.urlsafe_b64encode(field).decode().rstrip("=") for field in fields)])


def records_file() -> list[dict[str, Any]]:
    dense = bytes.fromhex(entry(3, "DENSE_ENTRY", "", POINT_7, [[1.0, 2.0]], False)["entry"])
    cases: list[tuple[list[tuple[str, bytes]], bytes]] = [
        ([], b""),
        ([("", dense)], b""),
        ([("größe", b"\xfb\xff"), ("a.b", b""), ("", bytes(4))], b""),
        ([("title", dense)], bytes(range(16))),
    ]
    manifest = COLLECTION.hex()[:16]
    return [
        {
            "manifest": manifest,
            "entries": {name: content.hex() for name, content in entries},
            "token": token.hex(),
            "text": record_text(manifest, entries, token),
        }
        for entries, token in cases
    ]


def ids_file() -> dict[str, Any]:
    spellings = [
        "936da01f-9abd-4d9d-80c7-02af85c822a8",
        "936DA01F9ABD4D9D80C702AF85C822A8",
        "urn:uuid:936DA01F-9abd-4d9d-80c7-02af85c822a8",
        "{936da01f-9abd-4d9d-80c7-02af85c822a8}",
    ]
    return {
        "numbers": [[str(n), (b"\x01" + n.to_bytes(8, "big")).hex()] for n in (0, 7, 2**63, 2**64 - 1)],
        "uuids": [[spelling, POINT_UUID.hex()] for spelling in spellings],
    }


def encrypted_number(key: bytes, number: int) -> int:
    left, right = number >> 32, number & 0xFFFFFFFF
    for i in range(10):
        block = i.to_bytes(4, "big") + right.to_bytes(4, "big") + bytes(8)
        f = int.from_bytes(Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(block)[:4], "big")
        left, right = right, left ^ f
    return left << 32 | right


def encrypted_signed(key: bytes, number: int) -> int:
    word = encrypted_number(key, int.from_bytes(number.to_bytes(8, "big", signed=True), "big"))
    return int.from_bytes(word.to_bytes(8, "big"), "big", signed=True)


def encrypted_text(key: bytes, clear: str) -> str:
    return base64.urlsafe_b64encode(siv(key, None, leaf(clear))).decode().rstrip("=")


def encrypted_ids_file() -> dict[str, Any]:
    numbers = [0, 1, 7, 2**32 - 1, 2**32, 2**63, 2**64 - 1]
    uuids = [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.UUID("936da01f-9abd-4d9d-80c7-02af85c822a8")]
    number_key, uuid_key = hkdf(OTHER_KEY, 32, "number"), hkdf(OTHER_KEY, 32, "uuid")
    aes = Cipher(algorithms.AES(uuid_key), modes.ECB())
    box = siv(hkdf(hkdf(DATA_KEY, 32, "ids"), 64, "aes-siv"), COLLECTION, OTHER_KEY)
    signed = [0, -1, 5, 2**63 - 1, -(2**63)]
    text_key = hkdf(OTHER_KEY, 64, "text")
    return {
        "id_key": OTHER_KEY.hex(),
        "numbers": [[str(number), str(encrypted_number(number_key, number))] for number in numbers],
        "signed": [[str(number), str(encrypted_signed(number_key, number))] for number in signed],
        "texts": [[one, encrypted_text(text_key, one)] for one in ("", "größe", "a key of more than sixteen bytes")],
        "uuids": [[str(one), str(uuid.UUID(bytes=aes.encryptor().update(one.bytes)))] for one in uuids],
        "data_key": DATA_KEY.hex(),
        "collection": COLLECTION.hex(),
        "box": base64.urlsafe_b64encode(box).decode().rstrip("="),
    }


def hidden_name(key: bytes, place: str, name: str) -> str:
    box = siv(hkdf(key, 64, "aes-siv"), joined(COLLECTION, place.encode()), leaf(name))
    return "n" + base64.b32encode(box).decode().rstrip("=").lower()


def names_file() -> dict[str, Any]:
    cases = [("", "city"), ("", ""), ("/meta", "city"), ("/a~1b", "größe"), ("", "a name of more than sixteen bytes")]
    box = siv(hkdf(hkdf(DATA_KEY, 32, "names"), 64, "aes-siv"), COLLECTION, OTHER_KEY)
    return {
        "name_key": OTHER_KEY.hex(),
        "collection": COLLECTION.hex(),
        "names": [[place, name, hidden_name(OTHER_KEY, place, name)] for place, name in cases],
        "data_key": DATA_KEY.hex(),
        "box": base64.urlsafe_b64encode(box).decode().rstrip("="),
    }


def row_ids_file() -> dict[str, Any]:
    numbers, texts, token = (0, -1, 2**63 - 1, -(2**63)), ("", "größe", "a/b"), bytes(range(16))
    return {
        "numbers": [[str(n), (b"\x03" + n.to_bytes(8, "big", signed=True)).hex()] for n in numbers],
        "texts": [[text, (b"\x04" + text.encode()).hex()] for text in texts],
        "tokens": [[token.hex(), (b"\x05" + token).hex()]],
    }


def declaration_file() -> dict[str, Any]:
    content, nonce, start = b"a collection as its client declared it", bytes(range(12)), head(6, 0, 3)
    box = gcm(hkdf(DATA_KEY, 32, "declaration"), nonce, joined(start, COLLECTION), content)
    return {
        "data_key": DATA_KEY.hex(),
        "uuid": COLLECTION.hex(),
        "epoch": 3,
        "content": content.hex(),
        "text": text(start + nonce + box),
    }


TENANT_KEY = bytes(range(200, 232))
TENANT_NUMBER = 0x90ABCDEF


def tenant_text(kind: int, tenant: bytes, content: bytes) -> str:
    start = struct.pack(">BII", kind, TENANT_NUMBER, 3) + tenant
    box = siv(hkdf(hkdf(DATA_KEY, 32, "tenant.keys"), 64, "aes-siv"), joined(COLLECTION, start), content)
    return "vgk1." + base64.urlsafe_b64encode(start + box).decode().rstrip("=")


def tenants_file() -> dict[str, Any]:
    """A tenant's key, what stands in its place once it is destroyed, and what is sealed under it."""
    ids = {
        value: hmac.digest(hkdf(DATA_KEY, 32, "tenant.id"), leaf(value), "sha256")[:12] for value in ("größe", 7, True)
    }
    path, nonce, point = "/city", bytes(range(12)), POINT_7
    sealed, token = head(1, 0, TENANT_NUMBER), head(2, 0, TENANT_NUMBER)
    token_key = hkdf(hkdf(TENANT_KEY, 32, "field.searchable", path), 64, "aes-siv")
    key = hkdf(TENANT_KEY, 32, "entry", "DENSE_ENTRY", "v")
    x = np.array([0.5, -1.25, 3.0], "<f4")
    record = hmac.digest(hkdf(key, 32, "nonce"), joined(b"v") + joined(point) + x.tobytes(), "sha256")[:12]
    effective = hmac.digest(hkdf(key, 32, "effective"), record, "sha256")[:12]
    shared = hkdf(DATA_KEY, 32, "entry", "DENSE_ENTRY", "v")
    sketcher = [normals(hkdf(shared, 32, "sketch"), bytes(8) + i.to_bytes(4, "big"), 8) for i in range(3)]
    sketch = (x.astype(float) @ np.array(sketcher, np.float32).astype(float)).astype("<f4")
    start = head(3, 0, TENANT_NUMBER)
    table = struct.pack("<2f", 1.5, 0.5) + sketch.tobytes()
    box = siv(hkdf(key, 64, "box"), joined(start, COLLECTION, b"v", point, record), table)
    return {
        "data_key": DATA_KEY.hex(),
        "epoch": 3,
        "collection": COLLECTION.hex(),
        "tenant_key": TENANT_KEY.hex(),
        "number": TENANT_NUMBER,
        "ids": [[value, tenant.hex()] for value, tenant in ids.items()],
        "id_key": OTHER_KEY.hex(),
        "id_key_box": base64.urlsafe_b64encode(
            siv(hkdf(hkdf(DATA_KEY, 32, "tenant ids key"), 64, "aes-siv"), COLLECTION, OTHER_KEY)
        )
        .decode()
        .rstrip("="),
        "key": tenant_text(1, ids["größe"], TENANT_KEY),
        "destroyed_at": 1_767_225_600,
        "destroyed": tenant_text(2, ids["größe"], struct.pack(">q", 1_767_225_600)),
        "path": path,
        "value": "Ulm",
        "point_id": point.hex(),
        "sealed": text(
            sealed
            + nonce
            + gcm(
                hkdf(TENANT_KEY, 32, "field.sealed", path),
                nonce,
                joined(sealed, COLLECTION, path.encode(), point),
                leaf("Ulm"),
            )
        ),
        "token": text(token + siv(token_key, joined(token, COLLECTION, path.encode()), leaf("Ulm"))),
        "vector_name": "v",
        "x": x.tolist(),
        "record_nonce": record.hex(),
        "effective_nonce": effective.hex(),
        "entry": (start + record + box).hex(),
    }


def signs(word: int) -> list[float]:
    return [(-1.0 if word >> bit & 1 else 1.0) / math.sqrt(32) for bit in range(32)]


def blake(text: str, size: int, key: bytes = b"") -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size, key=key).digest()


def sketches_file() -> dict[str, Any]:
    key = hkdf(DATA_KEY, 32, "sketches")
    vector, indices, values = [0.5, -0.25, 0.125, 1.0, -2.0], [0, 7, 2**32 - 1], [1.0, -0.5, 0.25]
    length, weight = math.sqrt(sum(x * x for x in vector)), math.sqrt(sum(x * x for x in values))
    rows = [signs(word) for word in words(key, blake(f"v\0{len(vector)}", 12), len(vector))]
    spread = [signs(words(key, index.to_bytes(4, "little") + blake("s", 8), 1)[0]) for index in indices]
    numbers, texts = [0, 1, 2**64 - 1], ["", str(uuid.UUID(bytes=COLLECTION)), "ü"]
    aes = Cipher(algorithms.AES(hkdf(DATA_KEY, 32, "number ids")), modes.ECB()).encryptor()
    blocks = [aes.update(number.to_bytes(8, "little") + bytes(8)) for number in numbers]
    hashes = [blake(text, 8, hkdf(DATA_KEY, 32, "text ids")) for text in texts]
    filters = ["must(field(key=city,match(keyword)))"]
    return {
        "key": DATA_KEY.hex(),
        "vector": vector,
        "dense": [sum(x / length * row[j] for x, row in zip(vector, rows, strict=True)) for j in range(32)],
        "indices": indices,
        "values": values,
        "sparse": [sum(x / weight * row[j] for x, row in zip(values, spread, strict=True)) for j in range(32)],
        "numbers": numbers,
        "number_hashes": [int.from_bytes(block[:8], "little") for block in blocks],
        "texts": texts,
        "text_hashes": [int.from_bytes(digest, "little") for digest in hashes],
        "filters": filters,
        "filter_shape": int.from_bytes(blake("\0".join(filters), 8, hkdf(DATA_KEY, 32, "filters")), "little"),
    }


def planted_file() -> dict[str, Any]:
    key = hkdf(DATA_KEY, 32, "canaries")
    cipher = Cipher(algorithms.AES256(key), modes.ECB())
    numbers = [0, 1, 255]

    def block(number: int, kind: int) -> bytes:
        encryptor = cipher.encryptor()
        return encryptor.update(struct.pack("<QQ", number, kind))

    def named(number: int, version: int) -> str:
        content = bytearray(block(number, 0))
        content[6] = content[6] & 0x0F | version << 4
        content[8] = content[8] & 0x3F | 0x80
        return str(uuid.UUID(bytes=bytes(content)))

    return {
        "key": DATA_KEY.hex(),
        "numbers": numbers,
        "uuid4": [named(number, 4) for number in numbers],
        "uuid5": [named(number, 5) for number in numbers],
        "number": [struct.unpack("<Q", block(number, 1)[:8])[0] for number in numbers],
        "signed": [struct.unpack("<q", block(number, 1)[:8])[0] for number in numbers],
    }


def observations_file() -> dict[str, Any]:
    head = {
        "time": 1_700_000_000.25,
        "principal": "café",
        "collection": "notes",
        "operation": "search",
        "rows": [2, 2, 2, 2, 1, 1, 1, 1, 2],
        "left": ["scores", "vectors"],
        "limit": 10,
        "offset": 3,
        "exact": True,
        "filter_shape": 2**64 - 1,
        "filter_ids": 4,
        "records": 5_000,
        "planted": 64,
        "request_id": "abc",
    }
    text = json.dumps(head, ensure_ascii=False, separators=(",", ":")).encode()
    arrays = [
        struct.pack("<64f", *[0.5] * 32, *[-0.25] * 32),
        struct.pack("<2Q", 1, 2**64 - 1),
        struct.pack("<2i", 0, -1),
        struct.pack("<2f", 0.75, math.nan),
        struct.pack("<32f", *[1.0] * 32),
        struct.pack("<Q", 2**63),
        struct.pack("<Q", 7),
        struct.pack("<32f", *[0.125] * 32),
        struct.pack("<2H", 5, 511),
    ]
    return {"packed": (len(text).to_bytes(4, "little") + text + b"".join(arrays)).hex()}


def ledger_file() -> dict[str, Any]:
    key, hexed = hkdf(DATA_KEY, 32, "ledger", COLLECTION.hex()), COLLECTION.hex()

    def tag(*parts: bytes, size: int) -> str:
        made = hmac.new(key, joined(*parts), hashlib.sha256).digest()[:size]
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    records = [("7", b"what is stored"), ("größe", b"")]
    digests = [tag(b"record", one.encode(), content, size=16) for one, content in records]
    head = {"epoch": 3, "format": "vecguard ledger 1", "taken": "2025-01-02T03:04:05+00:00", "uuid": hexed}
    rows: list[Any] = [head, ["7", digests[0], digests[1]], ["größe", digests[1]]]
    lines = "".join(json.dumps(row, separators=(",", ":"), sort_keys=True) + "\n" for row in rows)
    return {
        "data_key": DATA_KEY.hex(),
        "uuid": hexed,
        "epoch": 3,
        "records": [[one, content.hex(), made] for (one, content), made in zip(records, digests, strict=True)],
        "text": lines + tag(b"ledger", lines.encode(), size=32) + "\n",
    }


MEMORY = hkdf(hkdf(DATA_KEY, 32, "state.values"), 32, "state.freshness")


def remembered(purpose: str, content: bytes, size: int) -> bytes:
    key = hkdf(MEMORY, 32, "freshness", purpose, COLLECTION.hex())
    return hashlib.blake2b(content, digest_size=size, key=key).digest()


def path(kind: str, *keys: str) -> bytes:
    return kind.encode() + b"".join(remembered("steps", key.encode(), 6) for key in keys)


def freshness_file() -> dict[str, Any]:
    """What is remembered of point 7: its payload as it is stored, and logs."""

    def stamp(at: bytes, content: bytes) -> bytes:
        return remembered("stamps", joined(POINT_7, at, content), 8)

    def text_of(entry: bytes) -> str:
        return base64.urlsafe_b64encode(entry).decode().rstrip("=")

    entry, later = bytes(range(60)), bytes(range(60, 120))
    record = record_text("0f0e0d0c0b0a4908", [("d", entry), ("e", entry)], b"")
    payload = {
        "_p": {
            "word": "red", "n": 5, "real": 0.5, "whole": 2.0, "on": True, "off": False, "none": None, "empty": {},
            "list": ["a", 1, None, {"k": "v", "gone": None}],
            "meta": {"größe": "x", "deep": {"er": ""}},
            "numbers": {
                "third": 1 / 3, "sum": 0.1 + 0.2, "large": 123456789012345.6, "huge": 1e16, "least": 5e-324,
                "minus": -0.0, "big": 2**60,
            },
        },
        "_vg": record,
        "_vgt": 1735787045,
        "_vgk": 4000000000,
        "_vgn": {"0_64": text_of(bytes(range(1, 61))), "f_64": text_of(later), "1_65": text_of(bytes(range(2, 62)))},
    }  # fmt: skip
    contents = {
        path("p", "word"): b"sred",
        path("p", "n"): b"n5",
        path("p", "real"): b"n5.00000000000e-01",
        path("p", "whole"): b"n2",
        path("p", "on"): b"t",
        path("p", "off"): b"f",
        path("p", "list"): b"l" + joined(b"sa", b"n1", b"", b"m" + joined(b"k", b"sv")),
        path("p", "meta", "größe"): b"sx",
        path("p", "meta", "deep", "er"): b"s",
        path("p", "numbers", "third"): b"n3.33333333333e-01",
        path("p", "numbers", "sum"): b"n3.00000000000e-01",
        path("p", "numbers", "large"): b"n123456789012000",
        path("p", "numbers", "huge"): b"n1.00000000000e+16",
        path("p", "numbers", "least"): b"n0",
        path("p", "numbers", "minus"): b"n0",
        path("p", "numbers", "big"): b"n1152921504606846976",
        path("r"): b"s" + record.encode(),
        path("t"): b"n1735787045",
        path("k"): b"n4000000000",
        path("v", "d"): later,
        path("v", "e"): entry,
    }
    parts = {at: stamp(at, content) for at, content in contents.items()}
    one, two, absent = parts[path("p", "word")], parts[path("r")], bytes(8)
    moment = (1_735_787_045_000).to_bytes(6, "big")

    def slot(at: bytes, live: list[bytes], past: list[bytes]) -> bytes:
        return bytes([len(at), len(live), len(past)]) + at + b"".join(live) + b"".join(each + moment for each in past)

    word = path("p", "word")
    settled = b"\x01" + (2).to_bytes(4, "big") + slot(word, [one, absent], [two]) + slot(b"r", [two], [])
    covers = bytes([0, 1]) + b"p" + bytes([1, len(word)]) + word
    body = struct.pack(">HHI", 1, 1, 1) + covers + bytes([len(word)]) + word + one
    write = b"\x00" + b"\x00\x00\x00\x07" + moment + body
    content = bytes(range(1, 9))
    whole = b"\x01" + (2).to_bytes(4, "big") + slot(b"w", [content], []) + slot(word, [one], [])
    deletion = b"\x01" + b"\x00\x00\x00\x08" + moment + struct.pack(">HHI", 1, 0, 0) + bytes([0, 0])
    return {
        "state_key": DATA_KEY.hex(),
        "identity": base64.urlsafe_b64encode(hkdf(DATA_KEY, 9, "state.identity")).decode(),
        "uuid": COLLECTION.hex(),
        "place": hkdf(MEMORY, 16, "freshness", "place", COLLECTION.hex()).hex(),
        "point": POINT_7.hex(),
        "name": remembered("names", POINT_7, 16).hex(),
        "payload": payload,
        "parts": {at.hex(): made.hex() for at, made in parts.items()},
        "log": (settled + len(write).to_bytes(4, "big") + write).hex(),
        "whole": whole.hex(),
        "deleted": (whole + len(deletion).to_bytes(4, "big") + deletion).hex(),
    }


def trail_file() -> dict[str, Any]:
    file_id, events = bytes(16), [b'{"event":"a"}', b'{"event":"b"}']
    key = hmac.new(OTHER_KEY, file_id, hashlib.sha256).digest()
    mac, lines = bytes(32), []
    for number, event in enumerate(events):
        mac = hmac.new(key, mac + number.to_bytes(8, "big") + event, hashlib.sha256).digest()
        lines.append(f'{{"seq":{number},"mac":"{mac.hex()}","event":{event.decode()}}}\n')
    return {
        "key": OTHER_KEY.hex(), "id": file_id.hex(), "events": [event.decode() for event in events], "lines": lines,
    }  # fmt: skip


def tombstone_file() -> dict[str, Any]:
    content = {
        "format": 1, "uuid": str(uuid.UUID(bytes=COLLECTION)), "collection": "größe", "epochs": [1, 2],
        "time": "2025-01-02T03:04:05Z",
    }  # fmt: skip
    body = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return {"content": content, "text": "vgx1." + base64.urlsafe_b64encode(body).decode().rstrip("=")}


def stored_payload(point: bytes, name: Callable[[str, str], str]) -> dict[str, Any]:
    """What lies under `_p` of one payload; `name` is the stored name of a key, by its place."""
    nonces = iter(bytes([number]) * 12 for number in range(1, 99))

    def sealed(path: str, value: Any) -> str:
        return sealed_field(path, value, point, next(nonces), 3)

    equal, nodes = labelled("/price", 7, 1, order_key(7.0))
    rows = [labelled("/rows/price", value, 1, order_key(value)) for value in (1.5, -2.0)]
    return {
        name("", "note"): sealed("/note", "größe"),
        name("", "word"): searchable_field("/word", "red", 3),
        name("", "open"): 5,
        name("", "price"): sealed("/price", 7),
        "_vgl_" + name("", "price"): [equal, *nodes],
        name("", "text"): sealed("/text", "Red, green"),
        "_vgl_" + name("", "text"): word_labels("/text", ["red", "green"]),
        name("", "rows"): [
            {
                name("/rows", "price"): sealed("/rows/price", value),
                "_vgl_" + name("/rows", "price"): [one, *many],
            }
            for value, (one, many) in zip((1.5, -2.0), rows, strict=True)
        ],
        name("", "deep"): {
            name("/deep", "list"): [sealed("/deep/list", True), None, [sealed("/deep/list", -0.0)]],
            name("/deep", "none"): {},
        },
        name("", "place"): {"lon": 1.5, "lat": 2.5},
    }


def stored_file() -> dict[str, Any]:
    """A point's payload as Qdrant keeps it, and what lies beside a collection; a row's JSON as Milvus keeps it."""
    client = {
        "note": "größe", "word": "red", "open": 5, "price": 7, "text": "Red, green",
        "rows": [{"price": 1.5}, {"price": -2.0}], "deep": {"list": [True, None, [-0.0]], "none": {}},
        "place": {"lon": 1.5, "lat": 2.5},
    }  # fmt: skip
    number, row = b"\x01" + (7).to_bytes(8, "big"), b"\x03" + (7).to_bytes(8, "big", signed=True)

    def hidden(place: str, name: str) -> str:
        keeps = place == "/place" and name in ("lon", "lat")
        return name if keeps else hidden_name(OTHER_KEY, place, name)

    owner = sealed_field("/$metadata/owner", "me", COLLECTION, bytes([9] * 12), 3)
    dynamic = {
        "note": sealed_field("/note", "größe", row, bytes([1] * 12), 3),
        "deep": {"word": searchable_field("/deep/word", "red", 3), "list": [None, 5]},
    }
    return {
        "data_key": DATA_KEY.hex(),
        "epoch": 3,
        "collection": COLLECTION.hex(),
        "name_key": OTHER_KEY.hex(),
        "modes": {
            "word": "searchable", "open": "plain", "price": "range", "rows.price": "range", "text": "tokens",
            "place": "plain", "deep.word": "searchable",
        },
        "point": 7,
        "payload": client,
        "stored": {"_p": stored_payload(number, lambda place, name: name)},
        "stored_hidden": {"_p": stored_payload(number, hidden)},
        "metadata": {
            "client": {"owner": "me"},
            "stored": {"owner": owner, "_vg.index._p.word": base64.b64encode(bytes([0x20, 0])).decode()},
            "index": {"path": "_p.word", "field_type": 0},
        },
        "row": {
            "key": 7,
            "modes": {"deep.word": "searchable", "deep.list": "plain"},
            "client": {"note": "größe", "deep": {"word": "red", "list": [None, 5]}},
            "stored": dynamic,
        },
    }  # fmt: skip


ROW_MODES = {
    "open": "plain", "word": "searchable", "price": "range", "doc.kind": "searchable", "doc.size": "plain",
}  # fmt: skip


def row_file() -> dict[str, Any]:
    """A whole row as Milvus keeps it, all columns: of a client's key, with a noised dense vector and a sparse one."""
    row, nonces = b"\x03" + (7).to_bytes(8, "big", signed=True), iter(bytes([number]) * 12 for number in range(1, 99))
    short = COLLECTION.hex()[:16]

    def sealed(path: str, value: Any) -> str:
        return sealed_field(path, value, row, next(nonces), 3)

    x = np.array([math.cos(column) * 2 for column in range(6)], "<f4")
    length, ratio = float(np.float32(math.sqrt(float(x.astype(float) @ x.astype(float))))), 1.0
    dense = entry(3, "DENSE_ENTRY", "v", row, [x.tolist()], False, [(1 + ratio**2, length)])
    noise_key = hkdf(DATA_KEY, 32, "transform gaussian", "v")
    noise = np.array(normals(noise_key, bytes.fromhex(dense["nonce"]), 6)) * (ratio / math.sqrt(6)) * length
    turned = haar(hkdf(DATA_KEY, 32, "transform rotation", "v"), 6, 0, 0) @ x.astype(float)
    pairs = [(9, 0.5), (2**32 - 2, -1.25), (3, 3.0)]
    index_key = hkdf(DATA_KEY, 32, "sparse indices", "s")
    at_rest = sorted((permuted_index(index_key, index), value) for index, value in pairs)
    sparse = sparse_entry("s", row, [index for index, _ in at_rest], [value for _, value in at_rest])
    equal, nodes = labelled("/price", 7.5, 1, order_key(7.5))
    return {
        "data_key": DATA_KEY.hex(),
        "epoch": 3,
        "collection": COLLECTION.hex(),
        "modes": ROW_MODES,
        "ratio": ratio,
        "client": {
            "id": 7, "open": 5, "note": "größe", "word": "red", "num": -42, "real": 0.5, "flag": True, "price": 7.5,
            "tags": ["a", "größe"], "doc": {"kind": "x", "size": 3, "list": [1, None, "y"]},
            "v": x.tolist(), "s": [[index, value] for index, value in sorted(pairs)],
        },
        "stored": {
            "id": 7,
            "open": 5,
            "note": sealed("/note", "größe"),
            "word": searchable_field("/word", "red", 3),
            "num": sealed("/num", -42),
            "real": sealed("/real", 0.5),
            "flag": sealed("/flag", True),
            "price": sealed("/price", 7.5),
            "_vgl_price": [equal, *nodes],
            "tags": [sealed("/tags", "a"), sealed("/tags", "größe")],
            "doc": {
                "kind": searchable_field("/doc/kind", "x", 3),
                "size": 3,
                "list": [sealed("/doc/list", 1), None, sealed("/doc/list", "y")],
            },
            "v": ((turned + noise) / (1 + ratio**2)).tolist(),
            "_vg_v": record_text(short, [("v", bytes.fromhex(dense["entry"]))], b""),
            "s": [[index, value] for index, value in at_rest],
            "_vg_s": record_text(short, [("s", bytes.fromhex(sparse["entry"]))], b""),
        },
    }  # fmt: skip


def freshness_row_file() -> dict[str, Any]:
    """What is remembered of that row, with two dynamic fields more, in the partition `side`."""
    row, stored = b"\x03" + (7).to_bytes(8, "big", signed=True), row_file()["stored"]
    dynamic = {"shape": 0.5, "more": {"b": [1, None], "a": None}, "none": None}
    texts = ("note", "word", "num", "real", "flag", "price", "_vg_v", "_vg_s")
    doc = stored["doc"]
    items = joined(*(b"" if item is None else b"s" + item.encode() for item in doc["list"]))
    contents = {
        path("e"): b"",
        path("c", "open"): b"n5",
        **{path("c", name): b"s" + stored[name].encode() for name in texts},
        path("c", "tags"): b"l" + joined(*(b"s" + text.encode() for text in stored["tags"])),
        path("c", "doc"): b"m" + joined(b"kind", b"s" + doc["kind"].encode(), b"list", b"l" + items, b"size", b"n3"),
        path("m", "shape"): b"n5.00000000000e-01",
        path("m", "more"): b"m" + joined(b"b", b"l" + joined(b"n1", b"")),
    }
    parts = {at: remembered("stamps", joined(row, at, content), 8) for at, content in contents.items()}
    parts[path("n")] = remembered("stamps", joined(b"", path("n"), b"side"), 8)
    return {
        "state_key": DATA_KEY.hex(),
        "uuid": COLLECTION.hex(),
        "row": row.hex(),
        "dynamic": dynamic,
        "partition": "side",
        "parts": {at.hex(): made.hex() for at, made in parts.items()},
    }


FILES = {
    "keys.json": keys_file,
    "keystream.json": keystream_file,
    "rotation.json": rotation_file,
    "noises.json": noises_file,
    "projections.json": projections_file,
    "indices.json": indices_file,
    "fields.json": fields_file,
    "labels.json": labels_file,
    "entries.json": entries_file,
    "ids.json": ids_file,
    "row_ids.json": row_ids_file,
    "encrypted_ids.json": encrypted_ids_file,
    "names.json": names_file,
    "ledger.json": ledger_file,
    "freshness.json": freshness_file,
    "freshness_row.json": freshness_row_file,
    "tombstone.json": tombstone_file,
    "trail.json": trail_file,
    "stored.json": stored_file,
    "row.json": row_file,
    "manifest.json": manifest_file,
    "records.json": records_file,
    "declaration.json": declaration_file,
    "tenants.json": tenants_file,
    "sketches.json": sketches_file,
    "observations.json": observations_file,
    "planted.json": planted_file,
}


def assert_alike(stored: Any, computed: Any, where: str) -> None:
    """Equal, floats to 1e-12 (the platform's libm), which is where another machine may differ."""
    if isinstance(stored, float) and isinstance(computed, float):
        assert stored == pytest.approx(computed, rel=1e-12, abs=1e-12), where
    elif isinstance(stored, dict):
        assert stored.keys() == computed.keys(), where
        for key, value in stored.items():
            assert_alike(value, computed[key], f"{where}.{key}")
    elif isinstance(stored, list):
        assert len(stored) == len(computed), where
        for index, value in enumerate(stored):
            assert_alike(value, computed[index], f"{where}[{index}]")
    else:
        assert stored == computed, where


@pytest.mark.parametrize("name", sorted(FILES))
def test_known_answers_are_those_of_the_specification(name: str) -> None:
    assert_alike(json.loads((FOLDER / name).read_text()), json.loads(json.dumps(FILES[name]())), name)


def test_siv_is_that_of_rfc_5297_appendix_a1() -> None:
    """The RFC's first example has AES-128 keys; the construction is the same."""
    key = bytes.fromhex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff")
    aad = bytes.fromhex("101112131415161718191a1b1c1d1e1f2021222324252627")
    plain = bytes.fromhex("112233445566778899aabbccddee")
    expected = "85632d07c6e8f37f950acd320a2ecc9340c02b9690c4dc04daef7f6afe5c"
    assert siv(key, aad, plain).hex() == expected


if __name__ == "__main__":
    for file_name, compute in FILES.items():
        (FOLDER / file_name).write_text(json.dumps(compute(), indent=1, ensure_ascii=False) + "\n")
