"""What `explain` says follows the policy, and overstates nothing."""

import math

import pytest

from vecguard.errors import ConfigError
from vecguard.policy import claims
from vecguard.policy.defaults import DEFAULT_POLICY
from vecguard.policy.explain import Section, explain
from vecguard.policy.load import loads


def vector_policy(rule: str) -> list[Section]:
    return explain(loads(f"version: 1\ncollections: [{{match: notes, vectors: [{rule}]}}]"), "notes")


def holds(sections: list[Section], subject: str) -> str:
    """All that is said about subjects that start so."""
    found = [line.text for section in sections for line in section.lines if line.subject.startswith(subject)]
    return "\n".join(found)


NOISE = "transforms: [{kind: rotation}, {kind: gaussian, ratio: %g}]"


class TestDefault:
    SECTIONS = explain(DEFAULT_POLICY, "anything")

    def test_speaks_of_every_adversary(self) -> None:
        for letter in "ABCDEF":
            assert holds(self.SECTIONS, f"{letter}, ")

    def test_gives_the_bound_and_the_measured_break(self) -> None:
        assert "192 at d=384" in holds(self.SECTIONS, "A, ")
        assert "32 pairs in 77%, 64 pairs in 98%" in holds(self.SECTIONS, "B, ")
        assert "recall@10 >= 0.998" in holds(self.SECTIONS, "re-ranking")

    def test_tells_exact_queries_from_approximate_ones(self) -> None:
        assert holds(self.SECTIONS, "exact: nearest")
        assert holds(self.SECTIONS, "approximate: recommend with best_score")
        assert "frequency analysis" in holds(self.SECTIONS, "if sparse")

    def test_payload_is_sealed_and_says_what_filters_are_left(self) -> None:
        assert "sealed; a filter can use is_empty, is_null, values_count" in holds(self.SECTIONS, "every field")
        assert not holds(self.SECTIONS, "searchable")
        assert "list lengths" in holds(self.SECTIONS, "payload")


class TestVectors:
    def test_rotation_alone_breaks_with_leaked_pairs_and_needs_no_re_ranking(self) -> None:
        sections = vector_policy("{transforms: [{kind: rotation}]}")
        assert "BREAKS" in holds(sections, "B, ")
        assert "bits" not in holds(sections, "A, ")
        assert holds(sections, "exact: every query")
        assert not holds(sections, "re-ranking")
        assert not holds(sections, "approximate")

    def test_noise_between_measured_ratios_is_judged_by_the_weaker_one(self) -> None:
        text = holds(vector_policy(f"{{{NOISE % 1.5}}}"), "B, ")
        assert "at ratio 1, the nearest lower one measured" in text
        assert "64 pairs" in text

    def test_strong_noise(self) -> None:
        assert "100 pairs in 34%" in holds(vector_policy(f"{{{NOISE % 2}}}"), "B, ")
        assert "62 at d=384" in holds(vector_policy(f"{{{NOISE % 2}}}"), "A, ")

    def test_without_re_ranking_no_vector_query_is_called_exact(self) -> None:
        sections = vector_policy(f"{{{NOISE % 1}, rerank: off}}")
        assert "recall@10 0.69" in holds(sections, "approximate: every query by vector")
        assert not holds(sections, "exact:")

    def test_settings_that_were_not_measured_have_no_figure(self) -> None:
        assert "has not been measured" in holds(vector_policy(f"{{{NOISE % 3}}}"), "re-ranking")
        assert "has not been measured" in holds(vector_policy("{rerank: {certainty: 1}}"), "re-ranking")

    def test_recovery(self) -> None:
        assert "exact copy lies beside" in holds(vector_policy("{recover: sealed}"), "exact vector")
        none = vector_policy(f"{{{NOISE % 1}, recover: none, rerank: off}}")
        assert "nobody" in holds(none, "exact vector")
        assert "NOT protected" in holds(none, "F, ")
        bare = vector_policy("{transforms: [{kind: rotation}], recover: none, rerank: off}")
        assert "nobody" not in holds(bare, "exact vector")

    def test_each_rule_has_its_section(self) -> None:
        titles = [section.title for section in vector_policy("{match: text}, {match: image}")]
        assert "Vectors that match `text` (collections[0].vectors[0])" in titles
        assert "Vectors that match `image` (collections[0].vectors[1])" in titles


class TestPayloadAndCollections:
    POLICY = loads(
        "version: 1\n"
        "access: {anonymous: []}\n"
        "collections:\n"
        "- match: notes\n"
        "  payload: {default: plain, fields: {who: searchable, what: sealed}}\n"
        "  limits: {max_limit: 77}\n"
        "- {match: open, protect: none}\n"
    )

    def test_each_field_says_its_mode_and_its_filters(self) -> None:
        sections = explain(self.POLICY, "notes")
        assert holds(sections, "`who`").startswith("searchable; a filter can use match value / any / except")
        assert holds(sections, "`what`").startswith("sealed; ")
        assert holds(sections, "every other field").startswith("plain; a filter can use everything")
        assert "copying it to another point is not noticed" in holds(sections, "searchable: adversary F")

    def test_limits_and_access(self) -> None:
        sections = explain(self.POLICY, "notes")
        assert "may: nothing" in holds(sections, "without a credential")
        assert "at most 77 results" in holds(sections, "one call")

    def test_clear_collections_say_so(self) -> None:
        sections = explain(self.POLICY, "open")
        assert "everything in clear" in holds(sections, "stored")
        assert "rotated" not in str(sections)

    def test_uncovered_collections_are_refused(self) -> None:
        sections = explain(self.POLICY, "other")
        assert "every call that names it is refused" in holds(sections, "refused")
        assert not holds(sections, "stored")


class TestClaims:
    @pytest.mark.parametrize(("ratio", "bits"), [(1.0, 0.5), (2.0, 0.1610), (0.5, 1.1610)])
    def test_bound_is_the_capacity_of_the_gaussian_channel(self, ratio: float, bits: float) -> None:
        assert claims.leaked_bits_per_dimension(ratio) == pytest.approx(bits, abs=1e-4)

    def test_bound_without_noise_is_infinite(self) -> None:
        assert claims.leaked_bits_per_dimension(0) == math.inf

    @pytest.mark.parametrize(("ratio", "words"), [(0.3, "0.84 at ratio 0.5"), (1.2, "0.57 at ratio 1.5"), (3, "below")])
    def test_unmeasured_recall_is_that_of_stronger_noise(self, ratio: float, words: str) -> None:
        assert words in claims.unranked_recall_text(ratio)


class TestDifferentialPrivacy:
    """No ε is claimed where there is none, and none is given without its size in plain figures."""

    @staticmethod
    def privacy(noise: str, more: str = "") -> str:
        return holds(vector_policy(f"{{transforms: [{{kind: rotation}}{noise}]{more}}}"), "differential privacy")

    def test_plain_noise_claims_none_and_says_what_it_would_be(self) -> None:
        text = self.privacy(", {kind: gaussian, ratio: 1}")
        assert text.startswith("none is claimed")
        assert "ε = 955" in text
        assert "next to nothing" in text
        assert self.privacy("").startswith("none: without noise")
        assert self.privacy(", {kind: scale-and-perturb}").startswith("none: ")

    def test_a_calibrated_mechanism_gives_its_own_and_what_ten_releases_make(self) -> None:
        text = self.privacy(", {kind: analytic-gaussian, epsilon: 2, delta: 1e-5}")
        assert text.startswith("(2, 1e-05)")
        assert "ten contents under one id make it (7.539, 1e-05)" in text
        assert "strong guarantee" in text
        assert "next to nothing" in self.privacy(", {kind: analytic-gaussian, epsilon: 900}")

    def test_metric_privacy_names_the_loss_between_opposite_vectors(self) -> None:
        assert "600 for opposite ones" in self.privacy(", {kind: laplace, epsilon: 300}")
        assert "600 for opposite" in self.privacy(", {kind: von-mises-fisher, epsilon: 300}", ", recover: sealed")
        assert "942.5 for opposite" in self.privacy(", {kind: purkayastha, epsilon: 300}", ", recover: sealed")

    def test_strength_is_given_as_a_ratio(self) -> None:
        sections = vector_policy("{transforms: [{kind: rotation}, {kind: laplace, epsilon: 384}]}")
        assert "ratio 1, at 384" in holds(sections, "strength")
        assert "about d/2" in holds(sections, "A, ")


def test_directional_noise_needs_a_sealed_copy() -> None:
    with pytest.raises(ConfigError, match="`purkayastha` cannot"):
        vector_policy("{transforms: [{kind: rotation}, {kind: purkayastha, epsilon: 300}]}")
