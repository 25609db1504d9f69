"""The keystream is AES-CTR to the byte, and its normals are normal."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

from vecguard.keys.key import Key
from vecguard.transform.keystream import BlockFunction, encrypt_blocks, normals, wide_normals, words

KEY = Key(bytes(range(32)))


def nonces(n: int) -> np.ndarray:
    return np.frombuffer(b"".join(i.to_bytes(12, "little") for i in range(n)), np.uint8).reshape(n, 12)


def nonce_of(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint8)[None]


def kolmogorov_distance(sample: np.ndarray) -> float:
    """Largest distance between the sample's distribution function and the normal one."""
    ordered = np.sort(sample.astype(float).ravel())
    expected = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in ordered])
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max(np.max(steps[1:] - expected), np.max(expected - steps[:-1])))


def test_words_are_the_known_answers(known: Callable[[str], Any]) -> None:
    answers = known("keystream")
    key = Key(bytes.fromhex(answers["key"]))
    for case in answers["words"]:
        assert words(key, nonce_of(case["nonce"]), len(case["words"]))[0].tolist() == case["words"]


def test_normals_are_the_known_answers(known: Callable[[str], Any]) -> None:
    answers = known("keystream")
    key = Key(bytes.fromhex(answers["key"]))
    for case in answers["normals"]:
        expected = case["normals"]
        np.testing.assert_allclose(normals(key, nonce_of(case["nonce"]), case["dims"])[0], expected, atol=1e-6)
        np.testing.assert_allclose(wide_normals(key, nonce_of(case["nonce"]), case["dims"])[0], expected, rtol=1e-12)


def test_a_kept_block_function_says_the_same_each_time_and_of_each_block_by_itself() -> None:
    blocks = np.arange(6, dtype="<u8").reshape(3, 2)
    kept, expected = BlockFunction(KEY), encrypt_blocks(KEY, blocks)
    assert kept(blocks).tobytes() == kept(blocks).tobytes() == expected.tobytes()
    assert b"".join(kept(block).tobytes() for block in blocks) == expected.tobytes()


@pytest.mark.parametrize("count", [1, 3, 4, 5, 768])
def test_words_are_the_librarys_ctr_mode(count: int) -> None:
    stream = words(KEY, nonces(3), count)
    for row, nonce in zip(stream, nonces(3), strict=True):
        expected = Cipher(AES(KEY.expose()), CTR(nonce.tobytes() + bytes(4))).encryptor().update(bytes(4 * count))
        assert row.astype("<u4").tobytes() == expected


def test_a_batch_is_the_rows_one_by_one() -> None:
    batch = normals(KEY, nonces(300), 768)  # several chunks
    assert batch.shape == (300, 768)
    assert batch.dtype == np.float32
    for row in (0, 169, 170, 299):
        np.testing.assert_array_equal(batch[row], normals(KEY, nonces(300)[row : row + 1], 768)[0])


def test_strided_nonces_are_read_rightly() -> None:
    wide = np.zeros((4, 24), np.uint8)
    wide[:, ::2] = nonces(4)
    np.testing.assert_array_equal(words(KEY, wide[:, ::2], 8), words(KEY, nonces(4), 8))


def test_no_nonces_give_no_rows() -> None:
    assert words(KEY, nonces(0), 8).shape == (0, 8)
    assert normals(KEY, nonces(0), 9).shape == (0, 9)


@pytest.mark.parametrize("make", [normals, wide_normals])
def test_normals_pass_a_kolmogorov_smirnov_test(make: Any) -> None:
    sample = make(KEY, nonces(200), 501)
    # 1.63 / sqrt(n) is passed by chance once in a hundred samples; this sample is fixed.
    assert kolmogorov_distance(sample) < 1.63 / math.sqrt(sample.size)


def test_the_kolmogorov_distance_finds_a_wrong_scale() -> None:
    sample = normals(KEY, nonces(200), 501) * np.float32(1.02)
    assert kolmogorov_distance(sample) > 1.63 / math.sqrt(sample.size)


def test_normals_have_the_right_moments_and_tails() -> None:
    sample = normals(KEY, nonces(500), 768).astype(float)
    assert abs(sample.mean()) < 4 / math.sqrt(sample.size)
    assert abs(sample.var() - 1) < 4 * math.sqrt(2 / sample.size)
    assert abs((sample**4).mean() - 3) < 4 * math.sqrt(96 / sample.size)
    beyond = np.mean(np.abs(sample) > 3)
    assert abs(beyond - 0.0026998) < 4 * math.sqrt(0.0027 / sample.size)


def test_coordinates_and_records_are_uncorrelated() -> None:
    """The cosine and the sine of one pair share a radius, so squares are compared too."""
    sample = normals(KEY, nonces(4000), 16).astype(float)
    for table in (sample, sample**2):
        bound = 5 / math.sqrt(4000)
        off_diagonal = np.corrcoef(table.T) - np.eye(16)
        assert np.abs(off_diagonal).max() < bound
        assert abs(np.corrcoef(table[:-1].ravel(), table[1:].ravel())[0, 1]) < bound


def test_extreme_words_stay_finite() -> None:
    """u is never 0, and a u that rounds to 1 gives radius 0, not the root of a negative number."""
    from vecguard.transform.keystream import _box_muller

    stream = np.array([[0, 2**32 - 1, 1, 2**31, 0, 2**32 - 1, 5, 2**32 - 1]], np.uint32)
    for dtype in (np.float32, np.float64):
        out = np.empty((1, 8), dtype)
        _box_muller(stream, out)
        assert np.isfinite(out).all()
        assert np.abs(out).max() < 6.8


def test_keys_and_nonces_change_everything() -> None:
    first = normals(KEY, nonces(2), 1000)
    other = normals(Key(bytes(32)), nonces(1), 1000)
    for a, b in [(first[0], first[1]), (first[0], other[0])]:
        assert abs(np.corrcoef(a, b)[0, 1]) < 0.15
