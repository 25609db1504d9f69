"""The reference page and the template cannot fall behind the model."""

from importlib import resources
from pathlib import Path

from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.document import render
from vecguard.policy.load import check_text, schema

PAGE = Path(__file__).parents[2] / "docs" / "policy.md"
TEMPLATE = resources.files("vecguard.policy").joinpath("template.yaml").read_text(encoding="utf-8")


def every_key() -> set[str]:
    document = schema()
    return {key for part in (document, *document["$defs"].values()) for key in part["properties"]}


def test_page_is_the_one_that_the_model_makes() -> None:
    assert PAGE.read_text(encoding="utf-8") == render()


def test_page_explains_every_key() -> None:
    page = render()
    for key in every_key():
        assert f"| `{key}` |" in page
    rows = [line for line in page.splitlines() if not line.startswith("| `kind` |")]
    assert " |  |" not in "\n".join(rows)


def test_template_is_the_default_policy_and_shows_every_key() -> None:
    checked = check_text(TEMPLATE)
    assert checked.policy == DEFAULT_POLICY
    assert checked.warnings == ()
    for key in every_key():
        assert f"{key}:" in TEMPLATE
