"""Reading policy files: good ones, every kind of bad one with its line, warnings, and exchange while running."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vecguard.errors import ConfigError
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.load import PolicyHolder, check, check_text, load, loads, schema

GOOD = """\
version: 1
access: {anonymous: [read]}
collections:
  - match: notes-*
    vectors:
      - match: text
        rerank: off
      - recover: sealed
        transforms:
          - kind: rotation
          - {kind: gaussian, ratio: 2}
    payload:
      fields:
        metadata.source: searchable
        meta."file.name": plain
    limits: {max_limit: 50}
  - match: open
    protect: none
"""


def collection(body: str) -> str:
    """A policy with one collection whose lines start in line 4."""
    return "version: 1\ncollections:\n  - match: notes\n" + "".join(f"    {line}\n" for line in body.splitlines())


class TestGoodFiles:
    def test_is_read_as_written(self) -> None:
        policy = loads(GOOD)
        notes = policy.collection("notes-1")
        assert notes is not None
        assert notes.vector("text").rerank == "off"
        assert notes.vector("other").recover == "sealed"
        assert notes.vector("other").noise_ratio() == 2.0
        assert notes.payload.mode('meta."file.name"') == "plain"
        assert notes.limits.max_limit == 50
        assert policy.access.anonymous == ("read",)
        assert policy.collections[1].protect == "none"
        assert check_text(GOOD).warnings == ()

    def test_smallest_file_is_the_default_policy(self) -> None:
        assert loads('version: 1\ncollections: [{match: "*"}]') == DEFAULT_POLICY

    def test_yaml_is_version_1_2(self) -> None:
        policy = loads("version: 1\ncollections:\n- {match: no}\n- {match: 2024-01-01}\n- {match: on}\n- {match: 1:30}")
        assert [entry.match for entry in policy.collections] == ["no", "2024-01-01", "on", "1:30"]

    def test_anchors_may_save_typing(self) -> None:
        policy = loads(
            "version: 1\ncollections:\n- {match: a, payload: &p {default: plain}}\n- {match: b, payload: *p}\n"
        )
        assert policy.collections[1].payload.default == "plain"

    @pytest.mark.parametrize("number", ["1e0", "1.0", "1.", "+1", "10e-1"])
    def test_numbers_are_those_of_the_core_schema(self, number: str) -> None:
        text = collection(f"vectors: [{{transforms: [{{kind: rotation}}, {{kind: gaussian, ratio: {number}}}]}}]")
        assert loads(text).collections[0].vector("").noise_ratio() == 1.0


BAD = {
    "unknown key": (collection("vektors: []"), r"4:5: collections\[0\].vektors: .* did you mean `vectors`"),
    "key of another section": (collection("fields: {}"), "4:5: .*does not belong here but under `payload`"),
    "unknown key without a like": (collection("zzz: 1"), "4:5: .* use `match`, `protect`, `vectors`"),
    "unknown kind": (
        collection("vectors:\n  - transforms:\n      - kind: rotatoin"),
        r"6:13: .*transforms\[0\]: must be `rotation` or `gaussian` or .*, not `rotatoin`: did you mean `rotation`",
    ),
    "kind is missing": (
        collection("vectors: [{transforms: [{ratio: 1}]}]"),
        "4:29: .*`kind` is missing: add `kind: rotation` or `kind: gaussian`",
    ),
    "text for a transform": (collection("vectors: [{transforms: [rotation]}]"), "4:29: .*such as `kind: rotation`"),
    "ratio too large": (
        collection("vectors:\n- transforms: [{kind: rotation}, {kind: gaussian, ratio: 9}]"),
        r"5:62: .*transforms\[1\].ratio: must be at most 8, not 9",
    ),
    "ratio zero": (
        collection("vectors:\n- transforms: [{kind: rotation}, {kind: gaussian, ratio: 0}]"),
        "ratio: must be more than 0, not 0",
    ),
    "noise first": (
        collection("vectors:\n- transforms:\n  - kind: gaussian\n  - kind: rotation"),
        r"6:9: .*transforms\[0\]: `gaussian` stands before `rotation`",
    ),
    "two noises": (
        collection("vectors:\n- transforms:\n  - kind: rotation\n  - kind: gaussian\n  - kind: gaussian"),
        r"8:9: .*transforms\[2\]: more than one noise",
    ),
    "nothing to re-score with": (collection("vectors: [{recover: none}]"), "rerank: .*say `rerank: off`"),
    "re-scoring off as a truth value": (collection("vectors: [{rerank: false}]"), "4:24: .*rerank: must be a mapping"),
    "pages": (
        collection("vectors:\n- rerank:\n    first_page: 2000"),
        "6:21: .*first_page: is larger than max_candidates .1000",
    ),
    "unknown mode": (collection("payload:\n  default: seald"), "5:16: .*did you mean `sealed`"),
    "mode without a value": (collection("payload:\n  fields:\n    a:"), "6:.*fields.a: has no value"),
    "not a path": (collection("payload:\n  fields:\n    a b: plain"), '6:9: .*fields."a b": .*is not a payload path'),
    "reserved field": (collection("payload:\n  fields:\n    _vg: plain"), "6:9: .*fields._vg: .*proxy alone"),
    "one field twice": (
        collection("payload:\n  fields:\n    a: plain\n    a[]: sealed"),
        "7:14: .*names the same field as `a`",
    ),
    "clear, yet ruled": (collection("protect: none\npayload: {default: sealed}"), "5:5: .*payload: `protect: none`"),
    "number for a name": ("version: 1\ncollections: [{match: 2024}]", "2:23: .*match: must be text: put it in quotes"),
    "text for a number": (collection('limits: {max_batch: "5"}'), "4:25: .*must be a whole number"),
    "limit zero": (collection("limits: {max_limit: 0}"), "4:25: .*must be at least 1, not 0"),
    "no vectors": (collection("vectors: []"), "4:5: .*vectors: must have at least one entry"),
    "unknown action": ("version: 1\naccess: {anonymous: [raed]}\ncollections: [{match: a}]", "2:22: .*mean `read`"),
    "action twice": (
        "version: 1\naccess: {anonymous: [read, read]}\ncollections: [{match: a}]",
        r"2:28: .*anonymous\[1\]: `read` is listed twice",
    ),
    "version missing": ("collections: [{match: a}]", "1:1: version: is missing"),
    "version unknown": ("version: 2\ncollections: [{match: a}]", "1:10: version: must be 1, not `2`"),
    "collections missing": ("version: 1", "1:1: collections: is missing"),
    "match missing": ("version: 1\ncollections:\n  - protect: all", r"3:5: collections\[0\].match: is missing"),
    "list for a mapping": ("- a", "1:1: must be a mapping"),
    "mapping for a list": ("version: 1\ncollections: {match: a}", "2:1: collections: must be a list"),
    "empty": ("", "1:1: is empty: .*vecguard init"),
    "only comments": ("# nothing\n", "1:1: is empty"),
    "key twice": ("version: 1\ncollections: [{match: a}]\nversion: 1", "3:1: version: is given twice, first in line 1"),
    "two documents": ("version: 1\n---\nversion: 1", "2:1: holds more than one document"),
    "not YAML": ("version: [1", "is not YAML"),
    "tab": ("version: 1\naccess:\n\tanonymous: []", "3:1: is not YAML: .*spaces, not tabs"),
    "bare star": ("version: 1\ncollections:\n  - match: *", "3:.*is not YAML"),
    "foreign tag": ("version: !!python/object:os.system 1\ncollections: [{match: a}]", "1:10: version: has the tag"),
    "key that is a list": ("version: 1\n? [a]\n: 1\ncollections: [{match: a}]", "2:3: a key must be text"),
    "refers to itself": ("version: 1\ncollections: &a [*a]", "refers to itself"),
    "infinite": (collection("vectors: [{rerank: {certainty: .inf}}]"), "4:36: .*is not a number that a policy"),
    "huge number": (collection(f"limits: {{max_limit: {'9' * 5000}}}"), "4:25: .*is not a number that a policy"),
    "control character": ("version: 1\na: \x07", "2:4: holds a control character"),
}


@pytest.mark.parametrize("name", BAD)
def test_each_error_gives_its_line_and_what_to_do(name: str) -> None:
    text, pattern = BAD[name]
    with pytest.raises(ConfigError, match=pattern) as raised:
        loads(text, "p.yaml")
    assert all(line.startswith("p.yaml:") for line in str(raised.value).splitlines())
    assert len(str(raised.value).splitlines()) == 1


def test_all_errors_are_reported_at_once_in_the_order_of_the_file() -> None:
    text = """\
version: 1
access: {anonymous: [wirte]}
collections:
  - match: notes-*
    vectors:
      - recover: none
        transforms:
          - kind: gaussian
            ratio: 9
          - kind: rotation
      - recover: nonee
    payload: {default: seald, fields: {a b: plain, c: plain, "c[]": plain}}
    limts: {}
  - match: open
    protect: none
    payload: {}
"""
    checked = check_text(text, "p")
    assert checked.policy is None
    assert [(problem.place.line, problem.path) for problem in checked.errors] == [
        (2, "access.anonymous[0]"),
        (6, "collections[0].vectors[0].rerank"),
        (8, "collections[0].vectors[0].transforms[0]"),
        (9, "collections[0].vectors[0].transforms[0].ratio"),
        (11, "collections[0].vectors[1].recover"),
        (12, "collections[0].payload.default"),
        (12, 'collections[0].payload.fields."a b"'),
        (12, 'collections[0].payload.fields."c[]"'),
        (13, "collections[0].limts"),
        (16, "collections[1].payload"),
    ]


def test_what_only_follows_from_another_error_is_not_reported() -> None:
    checked = check_text(collection("vectors: [{recover: none, rerank: of}]"))
    assert [problem.path for problem in checked.errors] == ["collections[0].vectors[0].rerank"]


class TestWarnings:
    def test_entries_that_are_never_reached(self) -> None:
        text = 'version: 1\ncollections:\n  - match: "notes*"\n  - match: notes-a\n  - match: other\n'
        (warning,) = check_text(text).warnings
        assert (warning.place.line, warning.path) == (4, "collections[1].match")
        assert "never reached" in warning.text

    def test_vector_rules_that_are_never_reached(self) -> None:
        (warning,) = check_text(collection("vectors:\n- {}\n- match: text")).warnings
        assert (warning.place.line, warning.path) == (6, "collections[0].vectors[1].match")

    def test_rotation_without_noise(self) -> None:
        (warning,) = check_text(collection("vectors:\n- transforms: [{kind: rotation}]")).warnings
        assert warning.place.line == 5
        assert "no noise" in warning.text

    def test_administration_without_a_credential(self) -> None:
        text = "version: 1\naccess: {anonymous: [admin]}\ncollections: [{match: a}]"
        (warning,) = check_text(text).warnings
        assert warning.place.line == 2
        assert str(warning).startswith("<policy>:2:")

    def test_none_for_a_sound_file(self) -> None:
        assert check_text(GOOD).warnings == ()


class TestFiles:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"gone\.yaml:1:1: cannot be read: No such file"):
            load(tmp_path / "gone.yaml")

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="cannot be read"):
            load(tmp_path)

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_bytes(b"version: 1 # \xff")
        with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 13\)"):
            load(file)

    def test_a_file_too_large(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_bytes(b"#" * (1 << 20) + b"\n" + GOOD.encode())
        with pytest.raises(ConfigError, match="larger than 1 MiB"):
            load(file)

    def test_a_good_file(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_text(GOOD)
        assert load(file) == loads(GOOD)
        assert check(file).errors == ()


class TestHolder:
    def test_without_a_file_holds_the_default(self) -> None:
        holder = PolicyHolder()
        assert holder.current == DEFAULT_POLICY
        assert holder.reload() == ()
        assert holder.current == DEFAULT_POLICY

    def test_takes_a_changed_file_and_leaves_old_readers_alone(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_text(GOOD)
        holder = PolicyHolder(file)
        before = holder.current
        file.write_text("version: 1\ncollections: [{match: other}]")
        assert holder.reload() == ()
        assert holder.current.collection("other") is not None
        assert before == loads(GOOD)

    @pytest.mark.parametrize("text", ["version: 2", "", "version: [", None])
    def test_keeps_the_old_one_when_the_file_is_bad(self, tmp_path: Path, text: str | None) -> None:
        file = tmp_path / "p.yaml"
        file.write_text(GOOD)
        holder = PolicyHolder(file)
        before = holder.current
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
        assert holder.reload()
        assert holder.current is before

    def test_does_not_start_with_a_bad_file(self, tmp_path: Path) -> None:
        file = tmp_path / "p.yaml"
        file.write_text("version: 2")
        with pytest.raises(ConfigError):
            PolicyHolder(file)


def test_schema_names_every_key_and_allows_no_other() -> None:
    document = schema()
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert set(document["properties"]) == {"version", "access", "audit", "collections"}
    for definition in (document, *document["$defs"].values()):
        assert definition["additionalProperties"] is False
    ratio = document["$defs"]["GaussianSpec"]["properties"]["ratio"]
    assert (ratio["exclusiveMinimum"], ratio["maximum"]) == (0, 8)


LINES = st.sampled_from(
    """\
version: 1
collections:
  - match: a
    vectors:
      - {}
    payload: {default: plain}
    payload:
      fields: {a: plain}
    - *x
  &x a: b
access: []
\tx
? - a
- [
null
!!set {a}""".splitlines()
)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.one_of(st.lists(LINES, max_size=8).map("\n".join), st.text(max_size=60)))
@example("version: 1\ncollections: [{match: a, vectors: [{transforms: {a: 1}}]}]")
@example("\ud800")
@example("[" * 3000)
def test_any_text_is_a_policy_or_a_list_of_errors(text: str) -> None:
    checked = check_text(text)
    assert (checked.policy is None) == bool(checked.errors)
    assert all(problem.place.line >= 1 and problem.place.column >= 1 and problem.text for problem in checked.errors)
