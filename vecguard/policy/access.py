"""The `access` section of the policy: who may call, by which credential, in which role, and what a role may do.

Credentials are never in the file: of API keys and passwords it holds hashes, of JWT issuers the place of their public
keys, of client certificates the subject.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from vecguard.errors import InvalidArgument
from vecguard.model import EXACT, Action, Shape, Value
from vecguard.policy.credentials import key_digest, parse_password_hash
from vecguard.policy.entry import ListOf, PolicyEntry
from vecguard.policy.faults import Fault, raise_if_any
from vecguard.policy.paths import parse

_CREDENTIALS: Final = ("api_keys", "accounts", "jwt", "certificates")
ACTIONS: Final[tuple[Action, ...]] = ("read", "write", "admin")

# Asymmetric signatures only (RFC 7518, 3.1; RFC 8037): a shared secret would let every verifier make tokens.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
ReturnVectors = Literal["exact", "protected", "deny"]
Scores = Literal["exact", "rounded", "hidden"]


def _fault(text: str) -> PydanticCustomError:
    return PydanticCustomError("access", "{text}", {"text": text})


def _checked(read: Callable[[str], object]) -> AfterValidator:
    """Keep a text that `read` can read; what it raises (InvalidArgument, ValueError) is the fault."""

    def check(text: str) -> str:
        try:
            read(text)
        except (InvalidArgument, ValueError) as fault:
            raise _fault(str(fault)) from None
        return text

    return AfterValidator(check)


FieldPath = Annotated[str, _checked(parse)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class AttributeOf(PolicyEntry):
    """A value that the caller's credential carries."""

    attribute: Name = Field(description="Name of the principal's attribute; of several values each is allowed.")


def _shape(value: Any) -> str:
    return "attribute" if isinstance(value, dict | AttributeOf) else "literal"


Required = Annotated[
    Annotated[AttributeOf, Tag("attribute")] | Annotated[str | int | bool, Tag("literal")], Discriminator(_shape)
]


class Rate(PolicyEntry):
    """How much one principal may do in a time, as token buckets that fill steadily: one of each in every worker
    process, or one for all that share a store (`state` in the settings)."""

    calls_per_s: float | None = Field(default=None, gt=0, le=1e6, description="Calls a second, on average.")
    burst_calls: int = Field(default=50, ge=1, le=1_000_000, description="Calls at once after a pause.")
    records_per_s: float | None = Field(
        default=None, gt=0, le=1e9, description="Records read or written a second, on average."
    )
    burst_records: int = Field(default=10_000, ge=1, le=1_000_000_000, description="Records at once after a pause.")


class RoleLimits(PolicyEntry):
    """Bounds on one call of this role; the collection's own `limits` hold beside them, and the lower one counts."""

    max_limit: int | None = Field(default=None, ge=1, le=1_000_000, description="As in `limits`.")
    max_results: int | None = Field(default=None, ge=1, le=100_000_000, description="As in `limits`.")
    max_batch: int | None = Field(default=None, ge=1, le=1_000_000, description="As in `limits`.")
    max_message_mib: int | None = Field(default=None, ge=1, le=1024, description="As in `limits`.")


class RoleGrant(PolicyEntry):
    """One thing that a role may do. What no grant allows is refused."""

    collections: Annotated[tuple[str, ...], ListOf] = Field(
        default=("*",),
        min_length=1,
        description="Globs on collection names (Milvus outside the database `default`: `database/name`). Calls that "
        "change or administer the whole server need the glob `*`.",
    )
    actions: Annotated[tuple[Action, ...], ListOf] = Field(min_length=1, description="Any of read, write, admin.")
    operations: Annotated[tuple[str, ...], ListOf] = Field(
        default=("*",),
        min_length=1,
        description="Globs on the names of RPCs (`Query*`, `Upsert`); one with a slash is compared with the full name "
        "(`qdrant.Points/Search`).",
    )
    rows: Literal["filtered", "all"] = Field(
        default="filtered", description="all: the role's `row_filter` does not hold for what this entry grants."
    )

    def covers(self, action: Action, collection: str | None, operation: str) -> bool:
        """Whether this entry allows an action of an operation (`package.Service/Method`) on a collection.

        Without a collection: on any, if it only reads, else on the whole server.
        """
        if action not in self.actions or not any(_names(glob, operation) for glob in self.operations):
            return False
        if collection is None:
            return action == "read" or "*" in self.collections
        return any(fnmatchcase(collection, glob) for glob in self.collections)

    def may_cover(self, action: Action, operation: str) -> bool:
        """Whether this entry allows an action of an operation on some collection, or on none."""
        return action in self.actions and any(_names(glob, operation) for glob in self.operations)


def _names(glob: str, operation: str) -> bool:
    return glob == "*" or fnmatchcase(operation if "/" in glob else operation.rpartition("/")[2], glob)


class Role(PolicyEntry):
    """A named set of grants, and how their answers are shown."""

    name: Name = Field(description="What API keys, tokens and certificates call it; not read, write or admin.")
    grants: Annotated[tuple[RoleGrant, ...], ListOf] = Field(
        min_length=1, description="What it may do; the first entry that covers a call decides."
    )
    row_filter: dict[FieldPath, Required] = Field(
        default_factory=dict,
        description="Conditions that every record must satisfy which this role sees or touches: payload path and "
        "value, or `{attribute: NAME}` of the caller. The field needs mode plain or searchable.",
    )
    return_vectors: ReturnVectors = Field(
        default="exact",
        description="exact: as the client wrote them; protected: as they are stored; deny: not at all.",
    )
    scores: Scores = Field(
        default="exact", description="exact; rounded: to `score_decimals`; hidden: only the order (every score is 0)."
    )
    score_decimals: int = Field(default=2, ge=0, le=6, description="Decimals of rounded scores.")
    limits: RoleLimits = Field(default_factory=RoleLimits, description="Bounds on one call.")
    rate: Rate | None = Field(default=None, description="What each principal of this role may do in a time.")

    @field_validator("name")
    @classmethod
    def _not_built_in(cls, name: str) -> str:
        if name in ACTIONS:
            raise _fault(f"`{name}` is built in (it allows that action on every collection): choose another name")
        return name

    @model_validator(mode="after")
    def _filter_filters(self) -> Self:
        if self.row_filter and any("admin" in grant.actions and grant.rows != "all" for grant in self.grants):
            text = "lets nobody administer, which knows no rows: write `rows: all` in the grant of `admin`"
            raise_if_any([Fault(("row_filter",), text)])
        return self

    @cached_property
    def shape(self) -> Shape:
        """In which form its answers are given."""
        if self.return_vectors == self.scores == "exact":
            return EXACT
        return Shape(self.return_vectors, self.scores, self.score_decimals if self.scores == "rounded" else 6)


Roles = Annotated[tuple[Name, ...], ListOf]
Attributes = dict[Name, str | int | bool | Annotated[tuple[str | int | bool, ...], ListOf]]


class ApiKey(PolicyEntry):
    """A key that a client sends: Qdrant's `api-key`, `authorization: Bearer KEY`, or Milvus' token."""

    name: Name = Field(description="Who it is, in the trail; with `user:KEY` in Milvus, the user.")
    hash: Annotated[str, _checked(key_digest)] = Field(
        description="`sha256:` and 64 hexadecimal digits of a key made by `vecguard access new-key`."
    )
    roles: Roles = Field(min_length=1, description="Roles, built-in ones included.")
    attributes: Attributes = Field(default_factory=dict, description="What row filters compare with.")


class Account(PolicyEntry):
    """A user with a password that somebody chose: Milvus' `user:password`, or HTTP Basic."""

    name: Name = Field(description="The user.")
    hash: Annotated[str, _checked(parse_password_hash)] = Field(
        description="`scrypt:...`, as `vecguard access hash-password` prints it."
    )
    roles: Roles = Field(min_length=1, description="Roles, built-in ones included.")
    attributes: Attributes = Field(default_factory=dict, description="What row filters compare with.")

    @field_validator("name")
    @classmethod
    def _no_colon(cls, name: str) -> str:
        if ":" in name:
            raise _fault("a colon ends the user's name in `user:password`: choose a name without one")
        return name


class JwtIssuer(PolicyEntry):
    """Who signs JSON Web Tokens (RFC 7519) that are accepted: an OpenID provider, or a service of your own."""

    issuer: Name = Field(description="The `iss` that tokens must have.")
    audience: Annotated[tuple[Name, ...], ListOf] = Field(
        min_length=1, description="Values of `aud`, of which a token must have one."
    )
    jwks: str = Field(
        description="Its public keys (JWK Set, RFC 7517): `https://...` or `file:PATH`; `http://` on loopback only."
    )
    algorithms: Annotated[tuple[Algorithm, ...], ListOf] = Field(
        default=("RS256", "ES256", "EdDSA"), min_length=1, description="Signatures that are accepted."
    )
    leeway_s: int = Field(default=30, ge=0, le=300, description="How far clocks may differ, for `exp` and `nbf`.")
    max_age_s: int = Field(default=86_400, ge=60, le=2_592_000, description="Longest life (`exp` from now) of a token.")
    refresh_s: int = Field(default=300, ge=10, le=86_400, description="How often the keys are fetched again.")
    name_claim: Name = Field(default="sub", description="Claim that names the principal.")
    roles: Annotated[tuple[Name, ...], ListOf] = Field(default=(), description="Roles of every token.")
    roles_claim: str | None = Field(
        default=None,
        min_length=1,
        description="Claim with names of further roles (a list, or a text with spaces); dots reach into objects. "
        "Names that are no role of this policy are left out.",
    )
    attributes: dict[Name, Name] = Field(
        default_factory=dict, description="Attributes by the claim that holds them: `{tenant: org.id}`."
    )

    @field_validator("jwks")
    @classmethod
    def _reachable(cls, jwks: str) -> str:
        local = ("http://127.0.0.1", "http://localhost", "http://[::1]")
        if jwks.startswith("https://") or (jwks.startswith("file:") and len(jwks) > len("file:")):
            return jwks
        if any(jwks.startswith(host) and jwks[len(host) : len(host) + 1] in (":", "/") for host in local):
            return jwks
        raise _fault("write `https://...` or `file:PATH`: keys that come in clear could be anybody's")


class CertificateSubject(PolicyEntry):
    """A client certificate (mTLS) that the listener's client CA signed."""

    name: Name = Field(description="Who it is, in the trail.")
    subject: str | None = Field(
        default=None, min_length=1, description="Its subject as RFC 4514 writes it: `CN=ingest,O=Clinic`."
    )
    san: str | None = Field(
        default=None, min_length=1, description="Or one of its alternative names: a DNS name, URI, or mail address."
    )
    roles: Roles = Field(min_length=1, description="Roles, built-in ones included.")
    attributes: Attributes = Field(default_factory=dict, description="What row filters compare with.")

    @model_validator(mode="after")
    def _told_by_one(self) -> Self:
        if (self.subject is None) == (self.san is None):
            raise_if_any([Fault((), "needs either `subject` or `san`")])
        return self


class Access(PolicyEntry):
    """Who may do what, before any collection is looked at."""

    anonymous: Annotated[tuple[Action, ...], ListOf] = Field(
        default=("read", "write"),
        description="What callers without a credential may do: any of read, write, admin. Empty refuses them, and so "
        "does a policy that names credentials and does not say `anonymous`.",
    )
    api_keys: Annotated[tuple[ApiKey, ...], ListOf] = Field(default=(), description="Keys by their hash.")
    accounts: Annotated[tuple[Account, ...], ListOf] = Field(default=(), description="Users with passwords.")
    jwt: Annotated[tuple[JwtIssuer, ...], ListOf] = Field(default=(), description="Issuers of tokens.")
    certificates: Annotated[tuple[CertificateSubject, ...], ListOf] = Field(
        default=(), description="Client certificates."
    )
    roles: Annotated[tuple[Role, ...], ListOf] = Field(
        default=(),
        description="Roles beside the built-in `read`, `write` and `admin`. Of several roles of a caller the first in "
        "this list that allows a call decides, with its filter, limits and form of answers.",
    )

    @model_validator(mode="before")
    @classmethod
    def _closed_with_credentials(cls, given: Any) -> Any:
        """Whoever names credentials means them: nobody comes in without one, unless that is said, too."""
        if isinstance(given, dict) and "anonymous" not in given and any(given.get(name) for name in _CREDENTIALS):
            return {**given, "anonymous": []}
        return given

    @field_validator("anonymous")
    @classmethod
    def _said_once(cls, actions: tuple[Action, ...]) -> tuple[Action, ...]:
        twice = [i for i, action in enumerate(actions) if action in actions[:i]]
        raise_if_any([Fault((i,), f"`{actions[i]}` is listed twice: keep one") for i in twice])
        return actions

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        raise_if_any([*self._unknown_roles(), *self._twice()])
        return self

    def _unknown_roles(self) -> list[Fault]:
        known = {*ACTIONS, *(role.name for role in self.roles)}
        holders: Sequence[tuple[str, Sequence[ApiKey | Account | JwtIssuer | CertificateSubject]]] = (
            ("api_keys", self.api_keys),
            ("accounts", self.accounts),
            ("jwt", self.jwt),
            ("certificates", self.certificates),
        )
        return [
            Fault((section, i, "roles", j), f"`{role}` is not a role: known are {', '.join(sorted(known))}")
            for section, entries in holders
            for i, entry in enumerate(entries)
            for j, role in enumerate(entry.roles)
            if role not in known
        ]

    def _twice(self) -> list[Fault]:
        """Names, hashes and issuers that two entries share: the second would never be found."""
        listed: Sequence[tuple[str, str, Sequence[str | None]]] = (
            ("roles", "name", [role.name for role in self.roles]),
            ("api_keys", "name", [key.name for key in self.api_keys]),
            ("api_keys", "hash", [key.hash.lower() for key in self.api_keys]),
            ("accounts", "name", [account.name for account in self.accounts]),
            ("jwt", "issuer", [issuer.issuer for issuer in self.jwt]),
            ("certificates", "name", [entry.name for entry in self.certificates]),
            ("certificates", "subject", [entry.subject for entry in self.certificates]),
            ("certificates", "san", [entry.san for entry in self.certificates]),
        )
        return [
            Fault((section, i, key), "is the same as in an entry above: keep one")
            for section, key, values in listed
            for i, value in enumerate(values)
            if value is not None and value in values[:i]
        ]

    @property
    def authenticates(self) -> bool:
        """Whether any credential is looked at. Where none is, those that clients send are the database's affair."""
        return bool(self.api_keys or self.accounts or self.jwt or self.certificates)

    @cached_property
    def keeps_rows_apart(self) -> bool:
        """Whether any role has rows of its own."""
        return any(role.row_filter for role in self.roles)

    @cached_property
    def role_order(self) -> dict[str, Role]:
        """Roles by name, in the order in which they are asked: the policy's own, then the built-in ones."""
        built_in = (_built_in(action) for action in ACTIONS)
        return {role.name: role for role in (*self.roles, *built_in)}


def _built_in(action: Action) -> Role:
    grant = RoleGrant(actions=(action,))
    return Role.model_construct(
        name=action,
        grants=(grant,),
        row_filter={},
        return_vectors="exact",
        scores="exact",
        score_decimals=2,
        limits=RoleLimits(),
        rate=None,
    )


def literal_values(value: Value | tuple[Value, ...]) -> tuple[Value, ...]:
    """One value or several, as a tuple."""
    return value if isinstance(value, tuple) else (value,)
