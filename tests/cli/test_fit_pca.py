"""`vecguard policy fit-pca` writes an artefact that a policy can name, and the policy check holds it to its hash."""

from pathlib import Path

import numpy as np
from transform_cases import clustered
from typer.testing import CliRunner

from vecguard.cli import app
from vecguard.policy.load import check


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["policy", *arguments])
    return result.exit_code, result.output


def test_its_line_goes_into_a_policy_as_it_is(tmp_path: Path) -> None:
    np.save(tmp_path / "sample.npy", clustered(400, 48))
    code, line = run("fit-pca", str(tmp_path / "sample.npy"), "--components", "16", "--out", str(tmp_path / "a.vga"))
    assert code == 0
    policy = tmp_path / "policy.yaml"
    rule = f"recover: sealed\n        rerank: {{candidates: 200}}\n        transforms:\n          {line.strip()}\n"
    text = f"version: 1\ncollections:\n  - match: '*'\n    vectors:\n      - {rule}          - kind: rotation\n"
    policy.write_text(text)
    assert check(policy).errors == ()
    code, said = run("explain", "notes", "--policy", str(policy))
    assert code == 0
    assert "NOT certified" in said
    (tmp_path / "a.vga").write_bytes(b"other")
    (problem,) = check(policy).errors
    assert "transforms[0]" in problem.path
    assert "has SHA-256" in problem.text


def test_what_cannot_be_fitted_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", clustered(50, 48)[:20])
    np.save(tmp_path / "flat.npy", np.zeros(9))
    (tmp_path / "text.npy").write_text("no array")
    for name, words in (("few", "too few"), ("flat", "no matrix"), ("text", "no .npy"), ("none", "no .npy")):
        code, said = run(
            "fit-pca", str(tmp_path / f"{name}.npy"), "--components", "8", "--out", str(tmp_path / "a.vga")
        )
        assert code == 1
        assert words in said
    assert not (tmp_path / "a.vga").exists()
