"""The packaged checkpoint: whole, small enough, and it reads clear embeddings of the packaged embedder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from vecguard.audit.inverter.bag_of_words import words_of
from vecguard.audit.inverter.checkpoint import read_card
from vecguard.audit.inverter.generative import PACKAGED, GenerativeInverter, Search
from vecguard.demo.embedder import MiniLM
from vecguard.errors import ConfigError

PACKAGE = Path(str(files("vecguard.audit.inverter")))
SHARED = Path(__file__).parents[4] / "shared" / "data" / "sentences" / "valid.jsonl.zst"
# Written for this test; no data set holds them.
OWN = [
    "My grandmother was diagnosed with diabetes last winter.",
    "Please book a table for two in a quiet restaurant.",
    "How do I change the password of my bank account?",
    "The treatment of asthma depends on how severe the symptoms are.",
    "The new stadium was opened by the mayor of the city.",
    "What is the weather going to be like on Sunday?",
    "The kidneys remove waste from the blood.",
    "The king lost the war and fled to France.",
]


def token_f1(found: str, true: str) -> float:
    from collections import Counter

    left, right = Counter(words_of(found)), Counter(words_of(true))
    return 2 * (left & right).total() / max(left.total() + right.total(), 1)


def mean_f1(found: list[str], true: list[str]) -> float:
    return float(np.mean([token_f1(one, other) for one, other in zip(found, true, strict=True)]))


@pytest.fixture(scope="module")
def embedder() -> MiniLM:
    return MiniLM(1)


@pytest.mark.slow
def test_it_reads_sentences_that_nobody_trained_on(embedder: MiniLM) -> None:
    embeddings = embedder.embed(OWN)
    inverter = GenerativeInverter.open(embed=embedder.embed, search=Search(beams=8, drawn=4, edits=3))
    stages = dict(inverter.stages(embeddings))
    assert mean_f1(stages["beam"], OWN) > 0.4
    assert mean_f1(inverter.invert(embeddings), OWN) > 0.5
    # What is recovered is in the embedding: the same texts for other embeddings are no better than chance.
    assert mean_f1(stages["beam"], OWN[1:] + OWN[:1]) < 0.3


def test_noise_and_a_secret_rotation_leave_little(embedder: MiniLM) -> None:
    embeddings = embedder.embed(OWN)
    chance = np.random.default_rng(0)
    rotation = np.linalg.qr(chance.normal(size=(384, 384)))[0].astype(np.float32)
    inverter = GenerativeInverter.open(search=Search(beams=4))
    assert mean_f1(inverter.invert(embeddings @ rotation), OWN) < 0.25


def test_the_card_fits_the_file_and_the_file_the_repository() -> None:
    card = read_card((PACKAGE / PACKAGED).with_suffix(".json"))
    assert (card.embedder, card.base.dims) == ("minilm", 384)
    assert "CC BY-SA 4.0" in card.licences
    assert (PACKAGE / PACKAGED).stat().st_size <= 25e6


def test_a_damaged_copy_is_refused(tmp_path: Path) -> None:
    for ending in (".npz", ".json"):
        shutil.copy((PACKAGE / PACKAGED).with_suffix(ending), tmp_path)
    copy = tmp_path / PACKAGED
    data = bytearray(copy.read_bytes())
    data[len(data) // 2] ^= 0x10
    copy.write_bytes(data)
    with pytest.raises(ConfigError, match="damaged"):
        GenerativeInverter.open(copy)


def test_it_needs_no_torch() -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from vecguard.audit.inverter.generative import GenerativeInverter\n"
        "import numpy as np\n"
        "x = np.ones((1, 384), np.float32)\n"
        "assert len(GenerativeInverter.open().greedy(x)) == 1\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.exists(), reason="the shared data is not here")
def test_it_reads_validation_sentences(embedder: MiniLM) -> None:
    """A seeded sample of what docs/inverter.md measures on more."""
    import io
    import json

    zstandard = pytest.importorskip("zstandard")
    with SHARED.open("rb") as packed:
        lines = io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed), encoding="utf-8")
        texts = [json.loads(line)["text"] for line in lines]
    sample = [texts[row] for row in np.random.default_rng(11).permutation(len(texts))[:40]]
    inverter = GenerativeInverter.open(embed=embedder.embed, search=Search(beams=12, edits=2))
    assert mean_f1(inverter.invert(embedder.embed(sample)), sample) > 0.5
