"""The policy's values: look-ups by name and path, and what they refuse to be."""

import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vecguard.errors import FailedPrecondition, InvalidArgument
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.fields import FieldRules
from vecguard.policy.model import (
    Access,
    CollectionPolicy,
    GaussianSpec,
    Limits,
    PayloadRule,
    Policy,
    RerankRule,
    RotationSpec,
    VectorRule,
)
from vecguard.policy.paths import render
from vecguard.policy.retention import RetentionRule

RULE = PayloadRule(
    fields={"metadata": "plain", "metadata.source": "searchable", 'metadata."a.b"': "sealed", "tags[]": "searchable"}
)


class TestDefaultPolicy:
    def test_is_the_strong_one(self) -> None:
        entry = DEFAULT_POLICY.collection("anything")
        assert entry is not None
        assert entry.protected
        rule = entry.vector("")
        assert [spec.kind for spec in rule.transforms] == ["rotation", "gaussian"]
        assert rule.noise_ratio() == 1.0
        assert rule.recover == "derived"
        assert rule.rerank == RerankRule(certainty=2.0, first_page=50, max_candidates=1000)
        assert entry.payload.mode("any.field") == "sealed"
        assert DEFAULT_POLICY.access.anonymous == ("read", "write")


class TestPayload:
    @pytest.mark.parametrize(
        ("path", "mode", "name"),
        [
            ("other", "sealed", "default"),
            ("metadata", "plain", "fields.metadata"),
            ("metadata.page", "plain", "fields.metadata"),
            ("metadata.source", "searchable", 'fields."metadata.source"'),
            ("metadata.source[2].deep", "searchable", 'fields."metadata.source"'),
            ('metadata."a.b"', "sealed", "fields.'metadata.\"a.b\"'"),
            ("metadata.a.b", "plain", "fields.metadata"),
            ("tags", "searchable", "fields.tags"),
            ("tags[0]", "searchable", "fields.tags"),
            ("metadata2", "sealed", "default"),
        ],
    )
    def test_longest_path_decides(self, path: str, mode: str, name: str) -> None:
        assert RULE.mode(path) == mode
        assert RULE.rule_for(path) == name

    def test_keys_that_no_path_can_name_have_a_mode(self) -> None:
        assert RULE.mode_of(("metadata", 'quo"te')) == "plain"
        assert RULE.mode_of(('quo"te',)) == "sealed"

    def test_what_is_no_path_has_no_mode(self) -> None:
        with pytest.raises(InvalidArgument):
            RULE.mode("not a path")
        with pytest.raises(InvalidArgument):
            RULE.rule_for("")

    @pytest.mark.parametrize("path", ["_vg", "_vg.x", '"_vg"', "a b", ""])
    def test_reserved_or_malformed_paths_are_refused(self, path: str) -> None:
        with pytest.raises(ValidationError):
            PayloadRule(fields={path: "plain"})

    def test_one_field_by_two_names_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="names the same field as `a`"):
            PayloadRule(fields={"a": "plain", "a[]": "sealed"})

    @given(
        st.dictionaries(
            st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple),
            st.sampled_from(["plain", "sealed", "searchable"]),
        ),
        st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(tuple),
    )
    def test_agrees_with_trying_every_prefix(self, fields: dict[tuple[str, ...], str], keys: tuple[str, ...]) -> None:
        prefixes = [keys[:n] for n in range(len(keys), 0, -1)]
        expected = next((fields[prefix] for prefix in prefixes if prefix in fields), "default mode")
        rules = FieldRules("default mode", {render(path): mode for path, mode in fields.items()})
        assert rules.at(keys).mode == expected
        assert rules.at(keys).mode == expected  # from memory

    def test_memory_of_answers_is_bounded(self) -> None:
        rules = FieldRules("sealed", {"k": "plain"})
        for number in range(10_000):
            rules.at((f"key{number}",))
        assert len(rules._recent) <= 4096
        assert rules.at(("k",)).mode == "plain"


class TestCollections:
    POLICY = Policy(
        version=1,
        collections=(
            CollectionPolicy(match="notes-*", payload=RULE),
            CollectionPolicy(match="open", protect="none"),
            CollectionPolicy(match="notes-public"),
        ),
    )

    def test_first_match_decides(self) -> None:
        entry = self.POLICY.collection("notes-public")
        assert entry is not None
        assert entry.name == "collections[0]"
        assert entry.rule_for("metadata.source") == 'collections[0].payload.fields."metadata.source"'

    @pytest.mark.parametrize("name", ["other", "Notes-a", "open2", ""])
    def test_no_match_is_none(self, name: str) -> None:
        assert self.POLICY.collection(name) is None

    def test_an_entry_knows_its_place_in_each_policy_it_stands_in(self) -> None:
        entry = CollectionPolicy(match="*")
        first = Policy(version=1, collections=(entry,))
        second = Policy(version=1, collections=(CollectionPolicy(match="a"), entry))
        assert first.collections[0].name == "collections[0]"
        assert second.collections[1].name == "collections[1]"

    def test_clear_collections_have_no_vector_rule(self) -> None:
        entry = self.POLICY.collection("open")
        assert entry is not None
        assert not entry.protected
        with pytest.raises(FailedPrecondition, match="protect: none"):
            entry.vector("")

    @pytest.mark.parametrize("section", [{"vectors": (VectorRule(),)}, {"payload": PayloadRule()}])
    def test_clear_and_protected_at_once_is_refused(self, section: dict[str, Any]) -> None:
        with pytest.raises(ValidationError, match="everything in clear"):
            CollectionPolicy(match="a", protect="none", **section)

    def test_vector_rules_by_name(self) -> None:
        plain = VectorRule(match="text*", transforms=(RotationSpec(),))
        entry = CollectionPolicy(match="*", vectors=(plain, VectorRule(match="")))
        assert entry.vector("text-1") == plain
        assert entry.vector("").noise_ratio() == 1.0
        with pytest.raises(FailedPrecondition, match=r"no rule in .* matches the vector `image`"):
            entry.vector("image")


class TestStrictness:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: GaussianSpec(ratio=8.0),
            lambda: GaussianSpec(ratio=1),
            lambda: RerankRule(certainty=0.0, first_page=1, max_candidates=1),
            lambda: VectorRule(rerank="off"),
            lambda: Access(anonymous=()),
            lambda: Limits(max_limit=1),
        ],
    )
    def test_allows(self, make: Any) -> None:
        make()

    @pytest.mark.parametrize(
        "make",
        [
            lambda: GaussianSpec(ratio=0.0),
            lambda: GaussianSpec(ratio=8.1),
            lambda: GaussianSpec(ratio=float("nan")),
            lambda: GaussianSpec(ratio=True),
            lambda: GaussianSpec.model_validate({"ratio": "1"}),
            lambda: GaussianSpec.model_validate({"sigma": 1}),
            lambda: RerankRule(certainty=6.1),
            lambda: RerankRule(first_page=2000),
            lambda: VectorRule.model_validate({"rerank": "on"}),
            lambda: VectorRule.model_validate({"rerank": False}),
            lambda: VectorRule(transforms=()),
            lambda: CollectionPolicy(match="a", vectors=()),
            lambda: CollectionPolicy(match=""),
            lambda: Access(anonymous=("read", "read")),
            lambda: Policy(version=1, collections=()),
            lambda: Policy.model_validate({"version": 2, "collections": [{"match": "*"}]}),
            lambda: Policy.model_validate({"collections": [{"match": "*"}]}),
        ],
    )
    def test_refuses(self, make: Any) -> None:
        with pytest.raises(ValidationError):
            make()

    def test_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            DEFAULT_POLICY.collections[0].protect = "none"

    def test_survives_pickling_to_a_worker(self) -> None:
        policy = TestCollections.POLICY
        copy = pickle.loads(pickle.dumps(policy))
        assert copy == policy
        assert copy.collections[0].rule_for("tags") == "collections[0].payload.fields.tags"


def test_entries_are_found_alike_however_many_names_were_asked_for() -> None:
    policy = Policy(version=1, collections=(CollectionPolicy(match="a*"), CollectionPolicy(match="b*")))
    for number in range(3_000):
        assert policy.collection(f"a{number}") is policy.collections[0]
        assert policy.collection(f"c{number}") is None
    assert policy.collection("b") is policy.collections[1]
    assert len(policy.answers.entries) <= 1_024
    assert policy == Policy(version=1, collections=policy.collections)


class TestRetention:
    @pytest.mark.parametrize(
        ("text", "seconds"), [("1s", 1), ("5m", 300), ("2h", 7200), ("90d", 7_776_000), ("1w", 604_800)]
    )
    def test_a_period(self, text: str, seconds: int) -> None:
        kept = CollectionPolicy(match="*", retention=text).kept
        assert kept is not None
        assert (kept.seconds, kept.field) == (seconds, None)

    @pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1.5h", "90 d", "1y", "99999w"])
    def test_no_period(self, text: str) -> None:
        with pytest.raises(ValidationError, match="is no period"):
            CollectionPolicy(match="*", retention=text)

    def test_a_field_must_be_plain(self) -> None:
        rule = RetentionRule(after="1d", field="meta.created")
        with pytest.raises(ValidationError, match="only a plain field"):
            CollectionPolicy(match="*", retention=rule)
        kept = CollectionPolicy(match="*", retention=rule, payload=PayloadRule(fields={"meta": "plain"})).kept
        assert kept == rule

    def test_none_without_protection(self) -> None:
        with pytest.raises(ValidationError, match="nothing to rule"):
            CollectionPolicy(match="*", protect="none", retention="1d")
        assert CollectionPolicy(match="*").kept is None
