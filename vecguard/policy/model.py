"""The policy file as frozen, validated values: what is protected how, and who may do what.

Unknown keys are refused everywhere, so that a misspelt rule is an error and not a silent default. Descriptions of the
fields are the reference documentation: `docs/policy.md` and the JSON Schema are made from them.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from vecguard.errors import FailedPrecondition, InvalidArgument
from vecguard.model import Principal
from vecguard.policy.access import Access
from vecguard.policy.audit import AuditThresholds
from vecguard.policy.chain import chain_faults
from vecguard.policy.detection import DetectionRule
from vecguard.policy.entry import ListOf, PolicyEntry
from vecguard.policy.faults import Fault, raise_if_any
from vecguard.policy.fields import FieldRules
from vecguard.policy.integrity import UNRECOVERABLE, Integrity, IntegrityRule, integrity_of
from vecguard.policy.limits import Limits
from vecguard.policy.paths import parse
from vecguard.policy.remembered import Answers, without_answers
from vecguard.policy.retention import Retention, RetentionRule, rule_of
from vecguard.policy.tenants import TenantRule
from vecguard.policy.transforms import (
    AnalyticGaussianSpec,
    CellsSpec,
    GaussianSpec,
    NoiseSpec,
    ProjectionSpec,
    RotationSpec,
    RoundingSpec,
    TransformSpec,
)

IdMode = Literal["plain", "encrypted"]
DefaultMode = Literal["plain", "sealed", "searchable"]
FieldMode = Literal["plain", "sealed", "searchable", "range", "tokens"]
Recover = Literal["derived", "sealed", "none"]

# Modes whose fields have labels beside their values.
LABELLED: frozenset[FieldMode] = frozenset({"range", "tokens"})
# What the keys of those labels begin with.
RESERVED_KEYS = "_vgl_"
# Written beside every record by the proxy; clients neither see it nor have a rule for it.
RESERVED_FIELD = "_vg"

# What figures are given for where a policy does not know how many dimensions there will be.
REFERENCE_DIMS: Final = 384


class RerankRule(PolicyEntry):
    """Certified over-fetch: read candidates until no unread one can plausibly beat the k-th exact score."""

    certainty: float = Field(
        default=2.0,
        ge=0,
        le=6,
        description="How many standard deviations of the noise an unread candidate would have to be lucky by.",
    )
    first_page: int = Field(default=50, ge=1, le=10_000, description="Candidates read first; each next page doubles.")
    max_candidates: int = Field(
        default=1000,
        ge=1,
        le=100_000,
        description="Candidates read at most for one query; the trail says when it was reached.",
    )

    @model_validator(mode="after")
    def _pages_fit(self) -> Self:
        if self.first_page > self.max_candidates:
            text = f"is larger than max_candidates ({self.max_candidates}): lower this or raise that"
            raise_if_any([Fault(("first_page",), text)])
        return self


class FixedRerankRule(PolicyEntry):
    """Fixed over-fetch: the first candidates at rest are re-scored exactly, and nothing certifies that no better record
    comes after them. For projections and rounding, whose errors no certificate covers."""

    candidates: int = Field(ge=1, le=100_000, description="Candidates read for one query, or more if it wants more.")

    @property
    def pages(self) -> RerankRule:
        """The same as a rule that reads one page."""
        return RerankRule(certainty=0.0, first_page=self.candidates, max_candidates=self.candidates)


def _rerank_shape(value: Any) -> str:
    if isinstance(value, str):
        return "off"
    fixed = isinstance(value, FixedRerankRule) or (isinstance(value, dict) and "candidates" in value)
    return "fixed" if fixed else "rule"


Rerank = Annotated[
    Annotated[RerankRule, Tag("rule")]
    | Annotated[FixedRerankRule, Tag("fixed")]
    | Annotated[Literal["off"], Tag("off")],
    Discriminator(_rerank_shape),
]


class VectorRule(PolicyEntry):
    """How the vectors of one collection are protected, by vector name."""

    match: str = Field(
        default="*", description="Glob on the vector's name; the unnamed vector has the empty name. First match wins."
    )
    transforms: Annotated[tuple[TransformSpec, ...], ListOf] = Field(
        default=(RotationSpec(), GaussianSpec()),
        description="Applied in this order: cells, if any; at most one projection and one rotation; then at most one "
        "noise; then at most one rounding. Kinds: see transforms below.",
    )
    recover: Recover = Field(
        default="derived",
        description="How the proxy gets the exact vector back. derived: subtract the noise and undo the rotation; "
        "sealed: an encrypted exact copy beside the record; none: nobody can, and scores stay approximate.",
    )
    rerank: Rerank = Field(default=RerankRule(), description="Exact re-scoring of over-fetched candidates, or `off`.")

    @model_validator(mode="after")
    def _chain_is_sound(self) -> Self:
        certified = isinstance(self.rerank, RerankRule)
        raise_if_any(chain_faults(self.transforms, self.recover, self.rerank == "off", certified=certified))
        return self

    @property
    def noise(self) -> NoiseSpec | None:
        """What adds noise, where anything does."""
        return next((t for t in self.transforms if isinstance(t, NoiseSpec)), None)

    @property
    def clip(self) -> float | None:
        """The norm that longer vectors are shortened to, where there is one."""
        return self.noise.clip if isinstance(self.noise, AnalyticGaussianSpec) else None

    @property
    def cells(self) -> int:
        """How many cells records are dealt to; 1 without."""
        return next((t.count for t in self.transforms if isinstance(t, CellsSpec)), 1)

    @property
    def loses(self) -> ProjectionSpec | RoundingSpec | None:
        """What loses information for good, noise apart, where anything does."""
        return next((t for t in self.transforms if isinstance(t, ProjectionSpec | RoundingSpec)), None)

    def noise_ratio(self, dims: int = REFERENCE_DIMS) -> float:
        """E‖noise‖ / ‖x‖ for unit vectors of `dims` dimensions; 0.0 without noise."""
        return 0.0 if self.noise is None else self.noise.ratio_at(dims)


def _policy_path(path: str) -> str:
    try:
        keys = parse(path)
    except InvalidArgument as fault:
        raise PydanticCustomError("payload_path", "{text}", {"text": str(fault)}) from None
    ours = [key for key in keys if key.startswith(RESERVED_KEYS)] or [key for key in keys[:1] if key == RESERVED_FIELD]
    if ours:
        text = f"`{ours[0]}` is written and read by the proxy alone: remove this entry"
        raise PydanticCustomError("payload_path", "{text}", {"text": text})
    return path


PolicyPath = Annotated[str, AfterValidator(_policy_path)]


class PayloadRule(PolicyEntry):
    """How payload fields are protected; the longest matching path decides, and covers everything below it."""

    default: DefaultMode = Field(default="sealed", description="Mode of every field that no entry of `fields` covers.")
    fields: dict[PolicyPath, FieldMode] = Field(
        default_factory=dict,
        description='Modes by payload path, as in Qdrant filters: `metadata.source`, `meta."file.name"`; '
        "list markers are ignored. `range` is for numbers and date-times, `tokens` for texts.",
    )
    hash_names: bool = Field(
        default=False,
        description="Whether field names are encrypted, too: keys at every level of a payload (Milvus: of JSON and of "
        "dynamic fields, but no names of columns), whatever the mode of what they hold, under a key that it keeps for "
        "good.",
    )

    @field_validator("fields")
    @classmethod
    def _each_field_once(cls, fields: dict[str, FieldMode]) -> dict[str, FieldMode]:
        first: dict[tuple[str, ...], str] = {}
        faults: list[Fault] = []
        for path in fields:
            other = first.setdefault(parse(path), path)
            if other != path:
                faults.append(Fault((path,), f"names the same field as `{other}`: keep one of them"))
        raise_if_any(faults)
        return fields

    @cached_property
    def rules(self) -> FieldRules[FieldMode]:
        """The paths compiled for look-up, which runs once a field of every point."""
        return FieldRules(self.default, self.fields)

    def mode(self, path: str) -> FieldMode:
        """Mode of a payload path. Raises `errors.InvalidArgument` when `path` is not a payload path."""
        return self.rules.at(parse(path)).mode

    def mode_of(self, keys: tuple[str, ...]) -> FieldMode:
        """Mode of a payload path given as its keys (for walking a payload, where keys may hold any text)."""
        return self.rules.at(keys).mode

    def rule_for(self, path: str) -> str:
        """Name of the entry that decides for a path, as it stands below `payload`: `default` or `fields."a.b"`.

        `CollectionPolicy.rule_for` gives the full name. Raises `errors.InvalidArgument` as `mode` does.
        """
        return self.rules.at(parse(path)).name


class CollectionPolicy(PolicyEntry):
    """Protection of the collections whose name matches."""

    match: str = Field(description="Glob on the collection's name (`*`, `?`, `[a-z]`). First match wins.", min_length=1)
    protect: Literal["all", "none"] = Field(
        default="all",
        description="none: vectors and payload pass in clear. It has to be said in so many words, "
        "and leaves no room for `vectors`, `payload`, `ids`, `tenant_keys` or `retention`.",
    )
    vectors: Annotated[tuple[VectorRule, ...], ListOf] = Field(
        default=(VectorRule(),),
        min_length=1,
        description="Rules by vector name; a vector that none matches is refused.",
    )
    payload: PayloadRule = Field(default_factory=PayloadRule, description="Rules by payload field.")
    ids: IdMode = Field(
        default="plain",
        description="Point ids, or primary keys, at rest. encrypted: numbers become other numbers, UUIDs other UUIDs, "
        "texts (Milvus) other texts, by a key that the collection keeps for good; scrolls and iterators go in their "
        "order, and ranges of keys (Milvus) are refused, as are keys that the database makes.",
    )
    tenant_keys: TenantRule | None = Field(
        default=None,
        description="Give each tenant keys of its own, which `vecguard keys shred` can destroy alone "
        "(docs/keys.md); left out: all records are under the collection's.",
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds on one call to these collections.")
    retention: Retention | None = Field(
        default=None, description="How long records are kept: `90d`, or a rule of its own; left out: for good."
    )
    detection: DetectionRule = Field(
        default_factory=DetectionRule, description="Whether and how extraction is looked for and answered."
    )
    integrity: Integrity = Field(
        default="fail",
        description="What a call does that meets a record which others altered, swapped or put there: `fail` "
        "(DATA_LOSS), `drop` it from the answer, or a rule of its own, which can find older records too.",
    )

    _name: str = PrivateAttr(default="collections[?]")

    @model_validator(mode="after")
    def _clear_means_clear(self) -> Self:
        if not self.protected:
            text = (
                "`protect: none` stores everything in clear, so there is nothing to rule here: remove one or the other"
            )
            sections = ("vectors", "payload", "ids", "tenant_keys", "retention")
            given = [section for section in sections if section in self.model_fields_set]
            raise_if_any([Fault((section,), text) for section in given])
        return self

    @model_validator(mode="after")
    def _canaries_can_be_hidden(self) -> Self:
        if self.detection.canaries and not (self.protected and self.tenant_keys is None):
            text = "records are planted under the one key of a collection: not with `protect: none` or `tenant_keys`"
            raise_if_any([Fault(("detection", "canaries"), text)])
        return self

    @model_validator(mode="after")
    def _what_is_newest_can_be_told(self) -> Self:
        text = None if self.protected else "is of protected collections: not with `protect: none`"
        if any(rule.recover == "none" for rule in self.vectors):
            text = text or UNRECOVERABLE
        raise_if_any([Fault(("integrity", "rollback"), text)] if text and self.detects_rollback else [])
        return self

    @model_validator(mode="after")
    def _age_can_be_told(self) -> Self:
        rule = self.kept
        if rule is not None and rule.field is not None:
            try:
                mode = self.payload.mode(rule.field)
            except InvalidArgument as fault:
                raise_if_any([Fault(("retention", "field"), str(fault))])
            else:
                text = f"has the mode {mode} ({self.payload.rule_for(rule.field)}): only a plain field can be compared"
                raise_if_any([Fault(("retention", "field"), text)] if mode != "plain" else [])
        return self

    @model_validator(mode="after")
    def _tenants_can_be_told(self) -> Self:
        if self.tenant_keys is None or self.tenant_keys.field is None:
            return self
        field = self.tenant_keys.field
        try:
            mode = self.payload.mode(_policy_path(field))
        except (InvalidArgument, PydanticCustomError) as fault:
            raise_if_any([Fault(("tenant_keys", "field"), str(fault))])
        else:
            text = (
                f"has the mode {mode} ({self.payload.rule_for(field)}): whose a record is must be plain or searchable"
            )
            raise_if_any([Fault(("tenant_keys", "field"), text)] if mode not in ("plain", "searchable") else [])
        return self

    @cached_property
    def kept(self) -> RetentionRule | None:
        """How long records are kept; None: for good."""
        return rule_of(self.retention)

    @cached_property
    def checks(self) -> IntegrityRule:
        """What is done about records that others changed."""
        return integrity_of(self.integrity)

    @property
    def detects_rollback(self) -> bool:
        """Whether an older record is told from the newest."""
        return self.checks.rollback == "detect"

    @property
    def protected(self) -> bool:
        """Whether vectors and payload of these collections are protected."""
        return self.protect == "all"

    @property
    def name(self) -> str:
        """Where this entry stands in its policy, for error texts: `collections[0]`."""
        return self._name

    def placed(self, index: int) -> CollectionPolicy:
        """A copy that knows its place, so that refusals can name the entry that decided."""
        copy = self.model_copy()
        copy._name = f"collections[{index}]"
        return copy

    def vector(self, name: str) -> VectorRule:
        """Rule of the vector called `name` (empty for the unnamed one): the first match.

        Raises `errors.FailedPrecondition` when no rule matches, or when the collection is not protected at all.
        """
        if not self.protected:
            raise FailedPrecondition(f"{self.name} says `protect: none`: it has no rule for vectors")
        for rule in self.vectors:
            if fnmatchcase(name, rule.match):
                return rule
        raise FailedPrecondition(f"no rule in {self.name}.vectors matches the vector `{name}`: add one")

    def rule_for(self, path: str) -> str:
        """Full name of the entry that decides for a payload path: `collections[0].payload.fields."metadata.source"`."""
        return f"{self.name}.payload.{self.payload.rule_for(path)}"


class Policy(PolicyEntry):
    """A whole policy file. A collection that no entry matches is refused."""

    version: Literal[1] = Field(description="Format of this file: 1.")
    access: Access = Field(default_factory=Access, description="Who may do what.")
    collections: Annotated[tuple[CollectionPolicy, ...], ListOf] = Field(
        description="Protection by collection name; a collection that none matches is refused.", min_length=1
    )
    audit: AuditThresholds | None = Field(default=None, description="Thresholds of `vecguard audit gate`.")

    @field_validator("collections")
    @classmethod
    def _entries_know_their_place(cls, entries: tuple[CollectionPolicy, ...]) -> tuple[CollectionPolicy, ...]:
        return tuple(entry.placed(index) for index, entry in enumerate(entries))

    def collection(self, name: str) -> CollectionPolicy | None:
        """The first entry whose glob matches the collection's name; None when the policy does not cover it."""
        matches = self.answers.entries
        if name in matches:
            return matches[name]
        return matches.keep(name, next((entry for entry in self.collections if fnmatchcase(name, entry.match)), None))

    def tells_names_apart(self, principal: Principal) -> bool:
        """Whether the name of a collection can make a difference to what the principal may do."""
        if len(self.collections) > 1 or self.collections[0].match != "*":
            return True
        return not principal.is_anonymous and bool(self.access.roles)

    @cached_property
    def answers(self) -> Answers:
        """What this policy answered, as every call asks anew."""
        return Answers()

    def __copy__(self) -> Self:
        """A copy, as `model_copy` makes one to change it: what this policy answered is not what that one does."""
        return without_answers(super().__copy__())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """As `__copy__`."""
        return without_answers(super().__deepcopy__(memo))
