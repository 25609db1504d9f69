"""`vecguard policy fit-learned` trains an artefact that a policy can name, and `explain` says how private that was."""

from pathlib import Path

import numpy as np
import pytest
from transform_cases import clustered
from typer.testing import CliRunner

from vecguard.cli import app
from vecguard.policy.load import check
from vecguard.policy.transforms import LearnedSpec
from vecguard.transform.learned import read_named, read_privacy

pytest.importorskip("opacus")


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["policy", *arguments])
    return result.exit_code, result.stdout, result.stderr


def explained(folder: Path, line: str) -> str:
    """What `explain` says of a policy with the printed entry in it."""
    policy = folder / "policy.yaml"
    rule = f"recover: sealed\n        rerank: {{candidates: 200}}\n        transforms:\n          {line.strip()}\n"
    policy.write_text(
        f"version: 1\ncollections:\n  - match: '*'\n    vectors:\n      - {rule}          - kind: rotation\n"
    )
    assert check(policy).errors == ()
    code, said, _ = run("explain", "notes", "--policy", str(policy))
    assert code == 0
    return " ".join(said.split())


@pytest.mark.parametrize(
    ("private", "words"),
    [((), "without differential privacy"), (("--epsilon", "8", "--delta", "1e-4"), "by Opacus' PRV accountant")],
)
def test_its_line_goes_into_a_policy_as_it_is(tmp_path: Path, private: tuple[str, ...], words: str) -> None:
    np.save(tmp_path / "sample.npy", clustered(1_100, 48))
    out = tmp_path / "net.vga"
    asked = ("--dims", "16", "--hidden", "24", "--steps", "20", "--out", str(out), *private)
    code, line, _ = run("fit-learned", str(tmp_path / "sample.npy"), *asked)
    assert code == 0
    assert words in explained(tmp_path, line)
    spec = LearnedSpec(dims=16, file=str(out), sha256=line.rsplit("sha256: ", 1)[1].strip("}\n "))
    assert [weights.shape for weights, _ in read_named(spec)] == [(24, 48), (16, 24)]
    privacy = read_privacy(spec)
    assert (privacy is not None) == bool(private)
    if privacy is not None:
        assert privacy.epsilon_prv <= privacy.epsilon_rdp <= 8.1
        assert (privacy.delta, privacy.steps) == (1e-4, 20)


def test_what_cannot_be_trained_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", clustered(100, 48))
    code, _, said = run("fit-learned", str(tmp_path / "few.npy"), "--out", str(tmp_path / "net.vga"))
    assert code == 1
    assert "name 1 to 48" in said
    code, _, said = run("fit-learned", str(tmp_path / "few.npy"), "--dims", "8", "--out", str(tmp_path / "net.vga"))
    assert code == 1
    assert "too few" in said
    assert not (tmp_path / "net.vga").exists()
