"""A policy in plain words: what is stored, against whom that protects and where it ends, what can still be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from vecguard.errors import ConfigError
from vecguard.policy import claims
from vecguard.policy.access import Access, AttributeOf, Role
from vecguard.policy.detection import LEAST_ANSWER, DetectionRule, Rung
from vecguard.policy.model import (
    LABELLED,
    REFERENCE_DIMS,
    CollectionPolicy,
    FieldMode,
    FixedRerankRule,
    Policy,
    RerankRule,
    VectorRule,
)
from vecguard.policy.transforms import GaussianSpec, LearnedSpec


class Line(NamedTuple):
    """One statement: what it is about, and what holds."""

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """A titled group of statements."""

    title: str
    lines: tuple[Line, ...]


def explain(policy: Policy, collection: str) -> list[Section]:
    """Say what the policy does with a collection of this name."""
    entry = policy.collection(collection)
    if entry is None:
        return [
            Section(f"Collection `{collection}`", (Line("refused", _UNCOVERED),)),
            _access(policy, None, collection),
        ]
    head = Section(f"Collection `{collection}`", tuple(_head(entry)))
    if not entry.protected:
        return [head, _detection(entry), _access(policy, entry, collection)]
    rules = [_vectors(entry, index) for index in range(len(entry.vectors))]
    watched = [_detection(entry), _access(policy, entry, collection)]
    return [head, *rules, _payload(entry), _visible(entry), *watched, *_thresholds(policy)]


def _thresholds(policy: Policy) -> list[Section]:
    """What `vecguard audit gate` holds the policy to, where it says so."""
    held = policy.audit
    if held is None:
        return []
    given = [
        (held.max_token_f1, "token F1", "at most {:g} recovered by any attack"),
        (held.min_recall, "recall@10", "at least {:g}"),
        (held.max_pairs_recovery, "re-identification", "at most a share of {:g} of records"),
    ]
    lines = [Line(subject, text.format(value)) for value, subject, text in given if value is not None]
    pairs = Line("leaked pairs", f"up to {held.max_pairs:,} are reckoned with")
    return [Section("Held to by `vecguard audit gate`", (*lines, pairs))]


_UNCOVERED: Final = "no entry of the policy matches this name, so every call that names it is refused"


def _head(entry: CollectionPolicy) -> Iterator[Line]:
    yield Line("decided by", f"{entry.name} (`match: {entry.match}`)")
    if not entry.protected:
        yield Line("stored", "everything in clear, because the entry says `protect: none`")
        yield Line("A, B, C", "read all vectors and all payload in the database")
        yield Line("F", "can alter records unnoticed")
        yield Line("queries", "pass as they are; whatever the database can do works")
    if entry.tenant_keys is not None:
        yield Line("tenants", claims.tenants_text(entry.tenant_keys))
        ratios = [rule.noise_ratio() for rule in entry.vectors]
        yield Line("a tenant's keys destroyed", claims.tenant_shred_text(min(ratios)))
    if entry.detects_rollback:
        yield Line("older records", claims.NEWEST)
    if entry.kept is not None:
        since = f"field `{entry.kept.field}` or " if entry.kept.field else ""
        yield Line("kept", f"for {entry.kept.after} from {since}the last whole write; what is older is in no answer")


def _vectors(entry: CollectionPolicy, index: int) -> Section:
    rule = entry.vectors[index]
    lines = [*_stored(rule), *_adversaries(rule, newest=entry.detects_rollback), *_queries(rule)]
    return Section(f"Vectors that match `{rule.match}` ({entry.name}.vectors[{index}])", tuple(lines))


def _stored(rule: VectorRule) -> Iterator[Line]:
    steps = ", ".join(spec.phrase for spec in rule.transforms)
    yield Line("stored", steps if rule.noise else f"{steps}, without noise")
    if rule.noise and not isinstance(rule.noise, GaussianSpec):
        yield Line("strength", f"as Gaussian noise of ratio {rule.noise_ratio():.3g}, at {REFERENCE_DIMS} dimensions")
    if rule.cells > 1:
        yield Line("cells", claims.cells_text(rule.cells))
    yield Line("differential privacy", claims.privacy_text(rule.noise))
    yield Line("exact vector", claims.recovery_text(rule.recover, rule.noise_ratio(), rule.clip))
    yield Line("if multivector", claims.MULTIVECTOR)
    yield Line("if sparse", claims.SPARSE)


def _adversaries(rule: VectorRule, *, newest: bool) -> Iterator[Line]:
    yield _against("A", claims.thief_text(rule.noise))
    if rule.loses is not None:
        yield Line("A, what is lost", claims.loss_text(rule.loses))
    if isinstance(rule.loses, LearnedSpec):
        yield Line("the network's training", _training(rule.loses))
    yield _against("B", claims.pairs_text(rule.noise_ratio(), rule.cells))
    yield _against("C", claims.OPERATOR)
    yield _against("D", claims.CREDENTIAL)
    yield _against("E", claims.NETWORK)
    altered = claims.ALTERED_VECTORS_NEWEST if newest else claims.ALTERED_VECTORS
    yield _against("F", claims.ALTERED_UNRECOVERABLE if rule.recover == "none" else altered)


def _training(spec: LearnedSpec) -> str:
    # Not before it is needed: commands that serve say first how many threads numpy may start.
    from vecguard.transform.learned import read_privacy

    try:
        return claims.training_text(read_privacy(spec))
    except ConfigError as fault:  # it could be read when the policy was checked
        return f"how private it was cannot be told: {fault}"


def _against(letter: str, text: str) -> Line:
    return Line(f"{letter}, {claims.ADVERSARIES[letter]}", text)


def _queries(rule: VectorRule) -> Iterator[Line]:
    noise, rerank = rule.noise_ratio(), rule.rerank
    if noise == 0 and rule.loses is None and rule.cells > 1:
        yield Line("exact: every query", "each cell's scores at rest are exact; they are merged in the proxy")
        return
    if noise == 0 and rule.loses is None:
        yield Line("exact: every query", "a rotation keeps all distances, so nothing needs re-ranking")
        return
    if isinstance(rerank, FixedRerankRule):
        yield from _fixed(rule, rerank)
        return
    if not isinstance(rerank, RerankRule):
        figure = (
            claims.unranked_recall_text(noise) if rule.loses is None else "recall without re-ranking is not measured"
        )
        text = f"order and scores come from the stored vectors; {figure}"
        yield Line("approximate: every query by vector", text)
        return
    pages = f"{rerank.first_page:,} to {rerank.max_candidates:,} candidates"
    recall = claims.recall_text(noise, rerank.certainty)
    yield Line("re-ranking", f"certainty {rerank.certainty:g}, {pages}; {recall}")
    for kind, text in claims.EXACT_QUERIES.items():
        yield Line(f"exact: {kind}", text)
    for kind, text in claims.APPROXIMATE_QUERIES.items():
        yield Line(f"approximate: {kind}", text)


def _fixed(rule: VectorRule, rerank: FixedRerankRule) -> Iterator[Line]:
    yield Line("re-ranking", f"{rerank.candidates:,} candidates, NOT certified; {claims.fixed_text(rule.loses)}")
    for kind in (*claims.EXACT_QUERIES, *claims.APPROXIMATE_QUERIES):
        if "scroll" in kind:
            yield Line(f"exact: {kind}", claims.EXACT_QUERIES[kind])
        else:
            yield Line(f"approximate: {kind}", claims.FIXED_QUERY)


def _payload(entry: CollectionPolicy) -> Section:
    rule = entry.payload
    lines = [_field(f"`{path}`", mode) for path, mode in sorted(rule.fields.items())]
    lines.append(_field("every other field" if rule.fields else "every field", rule.default))
    modes = {rule.default, *rule.fields.values()}
    for mode, at_rest in claims.MODE_AT_REST.items():
        if mode in modes:
            lines.append(Line(f"{mode}: at rest", at_rest))
    if "sealed" in modes:
        lines.append(Line("sealed: adversary F", claims.ALTERED_SEALED))
    if "searchable" in modes:
        lines.append(Line("searchable: adversary F", claims.ALTERED_SEARCHABLE))
    lines += [Line(f"{mode}: adversary F", claims.ALTERED_LABELS) for mode in sorted(LABELLED & modes)]
    return Section(f"Payload ({entry.name}.payload)", tuple(lines))


def _field(subject: str, mode: FieldMode) -> Line:
    return Line(subject, f"{mode}; a filter can use {claims.MODE_FILTERS[mode]}")


def _visible(entry: CollectionPolicy) -> Section:
    visible = dict(claims.VISIBLE_AT_REST)
    if entry.ids == "encrypted":
        visible["records"] = claims.ENCRYPTED_IDS
    if entry.payload.hash_names:
        visible["payload"] = claims.HIDDEN_NAMES
    return Section("Still visible at rest (A, B, C)", tuple(Line(*line) for line in visible.items()))


def _detection(entry: CollectionPolicy) -> Section:
    """What is watched for, and how it is answered."""
    rule = entry.detection
    title = f"Extraction ({entry.name}.detection)"
    if not rule.watches:
        return Section(title, (Line("mode", "off: calls are not looked at, so nobody notices a crawl"),))
    off = sorted(name for name, on in rule.detectors.items() if not on)
    lines = [Line("mode", _MODES[rule.mode]), Line("detectors", f"all but {', '.join(off)}" if off else "all")]
    if rule.canaries:
        text = f"{rule.canaries} records that no answer holds, once `vecguard canaries plant` was run"
        lines.append(Line("canaries", text))
    lines += [Line(f"from risk {threshold:g}", _RUNGS[rung](rule)) for rung, threshold in rule.ladder.rungs]
    if rule.enforces and rule.largest_answer is not None:
        text = (
            f"the content of {rule.largest_answer:.1%} of the records, {LEAST_ANSWER} at least; a larger one is refused"
        )
        lines.append(Line("one answer", text))
    lines += [
        Line(f"budget {name}", f"{most:,}, exact; what would exceed it is refused" if rule.enforces else f"{most:,}")
        for name, most in rule.budgets
        if most is not None
    ]
    return Section(title, tuple(lines))


_STATUSES: Final = {"exhausted": "RESOURCE_EXHAUSTED", "denied": "PERMISSION_DENIED"}
_MODES: Final = {
    "observe": "observe: nothing changes for callers; the trail says what would have happened",
    "enforce": "enforce: callers are answered as below",
}
_RUNGS: Final[dict[Rung, Callable[[DetectionRule], str]]] = {
    "log": lambda rule: "log: the trail tells of it",
    "alert": lambda rule: "alert: operators are told",
    "slow": lambda rule: f"slow: each call waits {rule.slow_ms:,} ms",
    "degrade": lambda rule: f"degrade: {_degraded(rule)}; slow, too",
    "block": lambda rule: f"block: refused for {rule.block_for} with {_STATUSES[rule.block_with]} and `retry-after`",
}


def _degraded(rule: DetectionRule) -> str:
    form = rule.degraded
    decimals = f" to {form.score_decimals} decimals" if form.scores == "rounded" else ""
    most = "" if form.max_limit is None else f", at most {form.max_limit:,} results of a query"
    return f"vectors {form.vectors}, scores {form.scores}{decimals}{most}"


def _access(policy: Policy, entry: CollectionPolicy | None, collection: str) -> Section:
    access = policy.access
    lines = [Line("without a credential", f"may: {', '.join(access.anonymous) or 'nothing'}")]
    if not access.authenticates:
        lines.append(Line("with a credential", "the same: the policy names none, so none is looked at"))
    else:
        lines.append(Line("with a credential", "may do what its roles say; none implies another"))
        lines += [_holder(name, kind, roles) for name, kind, roles in _holders(access)]
        lines += [Line(f"role {role.name}", _role(role, collection)) for role in access.roles]
    if entry is not None:
        limits = entry.limits
        results, points, size = limits.max_limit, limits.max_batch, limits.max_message_mib
        text = f"at most {results:,} results of a query, {limits.max_results:,} of all queries of a call, "
        lines.append(Line("one call", f"{text}{points:,} points written, {size:,} MiB"))
    return Section("Access and limits (D)", tuple(lines))


def _holders(access: Access) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Name, kind and roles of every credential that the policy knows."""
    yield from ((key.name, "API key", key.roles) for key in access.api_keys)
    yield from ((account.name, "password", account.roles) for account in access.accounts)
    yield from ((entry.name, "client certificate", entry.roles) for entry in access.certificates)
    for issuer in access.jwt:
        claimed = () if issuer.roles_claim is None else (f"those in the claim {issuer.roles_claim}",)
        yield issuer.issuer, "tokens of", (*issuer.roles, *claimed)


def _holder(name: str, kind: str, roles: tuple[str, ...]) -> Line:
    return Line(f"{kind} {name}", f"roles: {', '.join(roles) or 'none'}")


def _role(role: Role, collection: str) -> str:
    """What a role may do with a collection, and how it is answered."""
    grants = [grant for grant in role.grants if any(fnmatchcase(collection, glob) for glob in grant.collections)]
    if not grants:
        return "nothing here"
    parts = []
    for grant in grants:
        operations = "" if grant.operations == ("*",) else f" by {', '.join(grant.operations)}"
        rows = " on all rows" if grant.rows == "all" and role.row_filter else ""
        parts.append(f"may {', '.join(grant.actions)}{operations}{rows}")
    if role.row_filter:
        conditions = (
            f"{field} = {f'its {value.attribute}' if isinstance(value, AttributeOf) else repr(value)}"
            for field, value in role.row_filter.items()
        )
        parts.append(f"only rows with {' and '.join(conditions)}")
    shown = "" if role.scores != "rounded" else f" to {role.score_decimals} decimals"
    parts.append(f"vectors {role.return_vectors}, scores {role.scores}{shown}")
    if role.rate is not None:
        given = (("calls", role.rate.calls_per_s), ("records", role.rate.records_per_s))
        parts += [f"{rate:g} {what} a second" for what, rate in given if rate is not None]
    parts += [f"{name} {value:,}" for name, value in role.limits if value is not None]
    return "; ".join(parts)
