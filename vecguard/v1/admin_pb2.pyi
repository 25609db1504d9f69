import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetStatusResponse(_message.Message):
    __slots__ = ("version", "started", "workers", "upstreams", "policy_file", "policy_digest", "key_provider", "key_id", "blocked")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    WORKERS_FIELD_NUMBER: _ClassVar[int]
    UPSTREAMS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FILE_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    KEY_PROVIDER_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    version: str
    started: _timestamp_pb2.Timestamp
    workers: _containers.RepeatedCompositeFieldContainer[Worker]
    upstreams: _containers.RepeatedCompositeFieldContainer[Upstream]
    policy_file: str
    policy_digest: str
    key_provider: str
    key_id: str
    blocked: int
    def __init__(self, version: _Optional[str] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., workers: _Optional[_Iterable[_Union[Worker, _Mapping]]] = ..., upstreams: _Optional[_Iterable[_Union[Upstream, _Mapping]]] = ..., policy_file: _Optional[str] = ..., policy_digest: _Optional[str] = ..., key_provider: _Optional[str] = ..., key_id: _Optional[str] = ..., blocked: _Optional[int] = ...) -> None: ...

class Worker(_message.Message):
    __slots__ = ("number", "pid", "restarts", "policy_digest")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    RESTARTS_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    number: int
    pid: int
    restarts: int
    policy_digest: str
    def __init__(self, number: _Optional[int] = ..., pid: _Optional[int] = ..., restarts: _Optional[int] = ..., policy_digest: _Optional[str] = ...) -> None: ...

class Upstream(_message.Message):
    __slots__ = ("front", "kind", "target", "listens", "connected")
    FRONT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    LISTENS_FIELD_NUMBER: _ClassVar[int]
    CONNECTED_FIELD_NUMBER: _ClassVar[int]
    front: str
    kind: str
    target: str
    listens: _containers.RepeatedScalarFieldContainer[str]
    connected: bool
    def __init__(self, front: _Optional[str] = ..., kind: _Optional[str] = ..., target: _Optional[str] = ..., listens: _Optional[_Iterable[str]] = ..., connected: bool = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[Collection]
    def __init__(self, collections: _Optional[_Iterable[_Union[Collection, _Mapping]]] = ...) -> None: ...

class Collection(_message.Message):
    __slots__ = ("front", "name", "state", "policy_entry", "vectors", "payload_default", "payload_fields", "problem", "created")
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Collection.State]
        PROTECTED: _ClassVar[Collection.State]
        CLEAR: _ClassVar[Collection.State]
        REFUSED: _ClassVar[Collection.State]
    STATE_UNSPECIFIED: Collection.State
    PROTECTED: Collection.State
    CLEAR: Collection.State
    REFUSED: Collection.State
    class PayloadFieldsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FRONT_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    POLICY_ENTRY_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_DEFAULT_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELDS_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    front: str
    name: str
    state: Collection.State
    policy_entry: str
    vectors: _containers.RepeatedCompositeFieldContainer[Vector]
    payload_default: str
    payload_fields: _containers.ScalarMap[str, str]
    problem: str
    created: _timestamp_pb2.Timestamp
    def __init__(self, front: _Optional[str] = ..., name: _Optional[str] = ..., state: _Optional[_Union[Collection.State, str]] = ..., policy_entry: _Optional[str] = ..., vectors: _Optional[_Iterable[_Union[Vector, _Mapping]]] = ..., payload_default: _Optional[str] = ..., payload_fields: _Optional[_Mapping[str, str]] = ..., problem: _Optional[str] = ..., created: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Vector(_message.Message):
    __slots__ = ("name", "kind", "dimensions", "distance", "transforms", "noise_ratio", "recover")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DIMENSIONS_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    TRANSFORMS_FIELD_NUMBER: _ClassVar[int]
    NOISE_RATIO_FIELD_NUMBER: _ClassVar[int]
    RECOVER_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    dimensions: int
    distance: str
    transforms: _containers.RepeatedScalarFieldContainer[str]
    noise_ratio: float
    recover: str
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., dimensions: _Optional[int] = ..., distance: _Optional[str] = ..., transforms: _Optional[_Iterable[str]] = ..., noise_ratio: _Optional[float] = ..., recover: _Optional[str] = ...) -> None: ...

class ExplainPolicyRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class ExplainPolicyResponse(_message.Message):
    __slots__ = ("sections",)
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    sections: _containers.RepeatedCompositeFieldContainer[Section]
    def __init__(self, sections: _Optional[_Iterable[_Union[Section, _Mapping]]] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("title", "lines")
    TITLE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    title: str
    lines: _containers.RepeatedCompositeFieldContainer[Line]
    def __init__(self, title: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[Line, _Mapping]]] = ...) -> None: ...

class Line(_message.Message):
    __slots__ = ("subject", "text")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    subject: str
    text: str
    def __init__(self, subject: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class CheckPolicyRequest(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: str
    def __init__(self, text: _Optional[str] = ...) -> None: ...

class CheckPolicyResponse(_message.Message):
    __slots__ = ("usable", "problems")
    USABLE_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    usable: bool
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    def __init__(self, usable: bool = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ...) -> None: ...

class Problem(_message.Message):
    __slots__ = ("error", "line", "column", "entry", "text")
    ERROR_FIELD_NUMBER: _ClassVar[int]
    LINE_FIELD_NUMBER: _ClassVar[int]
    COLUMN_FIELD_NUMBER: _ClassVar[int]
    ENTRY_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    error: bool
    line: int
    column: int
    entry: str
    text: str
    def __init__(self, error: bool = ..., line: _Optional[int] = ..., column: _Optional[int] = ..., entry: _Optional[str] = ..., text: _Optional[str] = ...) -> None: ...

class ReloadPolicyRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReloadPolicyResponse(_message.Message):
    __slots__ = ("accepted", "problems", "policy_digest", "confirmed", "silent")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    POLICY_DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFIRMED_FIELD_NUMBER: _ClassVar[int]
    SILENT_FIELD_NUMBER: _ClassVar[int]
    accepted: bool
    problems: _containers.RepeatedCompositeFieldContainer[Problem]
    policy_digest: str
    confirmed: _containers.RepeatedScalarFieldContainer[int]
    silent: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, accepted: bool = ..., problems: _Optional[_Iterable[_Union[Problem, _Mapping]]] = ..., policy_digest: _Optional[str] = ..., confirmed: _Optional[_Iterable[int]] = ..., silent: _Optional[_Iterable[int]] = ...) -> None: ...

class ListPrincipalsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPrincipalsResponse(_message.Message):
    __slots__ = ("principals",)
    PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    principals: _containers.RepeatedCompositeFieldContainer[Principal]
    def __init__(self, principals: _Optional[_Iterable[_Union[Principal, _Mapping]]] = ...) -> None: ...

class Principal(_message.Message):
    __slots__ = ("name", "kind", "roles", "blocked")
    NAME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_FIELD_NUMBER: _ClassVar[int]
    name: str
    kind: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    blocked: bool
    def __init__(self, name: _Optional[str] = ..., kind: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., blocked: bool = ...) -> None: ...

class BlockRequest(_message.Message):
    __slots__ = ("principal", "duration", "reason")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    principal: str
    duration: _duration_pb2.Duration
    reason: str
    def __init__(self, principal: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class BlockResponse(_message.Message):
    __slots__ = ("block",)
    BLOCK_FIELD_NUMBER: _ClassVar[int]
    block: BlockedPrincipal
    def __init__(self, block: _Optional[_Union[BlockedPrincipal, _Mapping]] = ...) -> None: ...

class UnblockRequest(_message.Message):
    __slots__ = ("principal",)
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    principal: str
    def __init__(self, principal: _Optional[str] = ...) -> None: ...

class UnblockResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBlocksRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListBlocksResponse(_message.Message):
    __slots__ = ("blocks",)
    BLOCKS_FIELD_NUMBER: _ClassVar[int]
    blocks: _containers.RepeatedCompositeFieldContainer[BlockedPrincipal]
    def __init__(self, blocks: _Optional[_Iterable[_Union[BlockedPrincipal, _Mapping]]] = ...) -> None: ...

class BlockedPrincipal(_message.Message):
    __slots__ = ("principal", "since", "until", "reason")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    principal: str
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    reason: str
    def __init__(self, principal: _Optional[str] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class WatchAlertsRequest(_message.Message):
    __slots__ = ("latest",)
    LATEST_FIELD_NUMBER: _ClassVar[int]
    latest: int
    def __init__(self, latest: _Optional[int] = ...) -> None: ...

class Alert(_message.Message):
    __slots__ = ("time", "kind", "worker", "principal", "rpc", "collections", "request_id", "suppressed", "rung", "risk", "reasons", "blocked_s", "budget", "enforced")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Alert.Kind]
        INTEGRITY_FAILURE: _ClassVar[Alert.Kind]
        KEY_PROVIDER_FAILURE: _ClassVar[Alert.Kind]
        BLOCKED_CALL: _ClassVar[Alert.Kind]
        POLICY_REFUSED: _ClassVar[Alert.Kind]
        UPSTREAM_LOST: _ClassVar[Alert.Kind]
        UPSTREAM_BACK: _ClassVar[Alert.Kind]
        WORKER_ENDED: _ClassVar[Alert.Kind]
        DETECTION: _ClassVar[Alert.Kind]
        BUDGET_USED_UP: _ClassVar[Alert.Kind]
        ROLLED_BACK: _ClassVar[Alert.Kind]
    KIND_UNSPECIFIED: Alert.Kind
    INTEGRITY_FAILURE: Alert.Kind
    KEY_PROVIDER_FAILURE: Alert.Kind
    BLOCKED_CALL: Alert.Kind
    POLICY_REFUSED: Alert.Kind
    UPSTREAM_LOST: Alert.Kind
    UPSTREAM_BACK: Alert.Kind
    WORKER_ENDED: Alert.Kind
    DETECTION: Alert.Kind
    BUDGET_USED_UP: Alert.Kind
    ROLLED_BACK: Alert.Kind
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WORKER_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    RPC_FIELD_NUMBER: _ClassVar[int]
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    SUPPRESSED_FIELD_NUMBER: _ClassVar[int]
    RUNG_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_S_FIELD_NUMBER: _ClassVar[int]
    BUDGET_FIELD_NUMBER: _ClassVar[int]
    ENFORCED_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    kind: Alert.Kind
    worker: int
    principal: str
    rpc: str
    collections: _containers.RepeatedScalarFieldContainer[str]
    request_id: str
    suppressed: int
    rung: str
    risk: float
    reasons: _containers.RepeatedScalarFieldContainer[str]
    blocked_s: int
    budget: str
    enforced: bool
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., kind: _Optional[_Union[Alert.Kind, str]] = ..., worker: _Optional[int] = ..., principal: _Optional[str] = ..., rpc: _Optional[str] = ..., collections: _Optional[_Iterable[str]] = ..., request_id: _Optional[str] = ..., suppressed: _Optional[int] = ..., rung: _Optional[str] = ..., risk: _Optional[float] = ..., reasons: _Optional[_Iterable[str]] = ..., blocked_s: _Optional[int] = ..., budget: _Optional[str] = ..., enforced: bool = ...) -> None: ...

class ListRisksRequest(_message.Message):
    __slots__ = ("principal", "collection", "least", "limit")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    LEAST_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    principal: str
    collection: str
    least: float
    limit: int
    def __init__(self, principal: _Optional[str] = ..., collection: _Optional[str] = ..., least: _Optional[float] = ..., limit: _Optional[int] = ...) -> None: ...

class ListRisksResponse(_message.Message):
    __slots__ = ("risks", "found", "shared")
    RISKS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    risks: _containers.RepeatedCompositeFieldContainer[Risk]
    found: int
    shared: bool
    def __init__(self, risks: _Optional[_Iterable[_Union[Risk, _Mapping]]] = ..., found: _Optional[int] = ..., shared: bool = ...) -> None: ...

class Risk(_message.Message):
    __slots__ = ("principal", "collection", "risk", "time", "rung", "evidence", "trend", "pinned", "acknowledged_until", "blocked_until")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    RUNG_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    TREND_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    principal: str
    collection: str
    risk: float
    time: _timestamp_pb2.Timestamp
    rung: str
    evidence: _containers.RepeatedCompositeFieldContainer[Evidence]
    trend: _containers.RepeatedCompositeFieldContainer[Point]
    pinned: float
    acknowledged_until: _timestamp_pb2.Timestamp
    blocked_until: _timestamp_pb2.Timestamp
    def __init__(self, principal: _Optional[str] = ..., collection: _Optional[str] = ..., risk: _Optional[float] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., rung: _Optional[str] = ..., evidence: _Optional[_Iterable[_Union[Evidence, _Mapping]]] = ..., trend: _Optional[_Iterable[_Union[Point, _Mapping]]] = ..., pinned: _Optional[float] = ..., acknowledged_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., blocked_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Evidence(_message.Message):
    __slots__ = ("detector", "level", "reason")
    DETECTOR_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    detector: str
    level: float
    reason: str
    def __init__(self, detector: _Optional[str] = ..., level: _Optional[float] = ..., reason: _Optional[str] = ...) -> None: ...

class Point(_message.Message):
    __slots__ = ("time", "risk")
    TIME_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    time: _timestamp_pb2.Timestamp
    risk: float
    def __init__(self, time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., risk: _Optional[float] = ...) -> None: ...

class AcknowledgeRequest(_message.Message):
    __slots__ = ("principal", "collection", "duration")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    principal: str
    collection: str
    duration: _duration_pb2.Duration
    def __init__(self, principal: _Optional[str] = ..., collection: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class PardonRequest(_message.Message):
    __slots__ = ("principal", "collection")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    principal: str
    collection: str
    def __init__(self, principal: _Optional[str] = ..., collection: _Optional[str] = ...) -> None: ...

class PinRequest(_message.Message):
    __slots__ = ("principal", "collection", "risk")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    principal: str
    collection: str
    risk: float
    def __init__(self, principal: _Optional[str] = ..., collection: _Optional[str] = ..., risk: _Optional[float] = ...) -> None: ...

class ActResponse(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, collections: _Optional[_Iterable[str]] = ...) -> None: ...

class RotateKeyRequest(_message.Message):
    __slots__ = ("collection", "front")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    collection: str
    front: str
    def __init__(self, collection: _Optional[str] = ..., front: _Optional[str] = ...) -> None: ...

class StartAuditRequest(_message.Message):
    __slots__ = ("collection", "quick", "attacks", "seed")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    QUICK_FIELD_NUMBER: _ClassVar[int]
    ATTACKS_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    collection: str
    quick: bool
    attacks: _containers.RepeatedScalarFieldContainer[str]
    seed: int
    def __init__(self, collection: _Optional[str] = ..., quick: bool = ..., attacks: _Optional[_Iterable[str]] = ..., seed: _Optional[int] = ...) -> None: ...

class Job(_message.Message):
    __slots__ = ("id", "kind", "front", "collection", "state", "started", "ended", "stage", "done", "total", "epoch", "moved", "problem")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[Job.Kind]
        KEY_ROTATION: _ClassVar[Job.Kind]
        AUDIT: _ClassVar[Job.Kind]
    KIND_UNSPECIFIED: Job.Kind
    KEY_ROTATION: Job.Kind
    AUDIT: Job.Kind
    class State(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        STATE_UNSPECIFIED: _ClassVar[Job.State]
        RUNNING: _ClassVar[Job.State]
        DONE: _ClassVar[Job.State]
        FAILED: _ClassVar[Job.State]
        CANCELLED: _ClassVar[Job.State]
    STATE_UNSPECIFIED: Job.State
    RUNNING: Job.State
    DONE: Job.State
    FAILED: Job.State
    CANCELLED: Job.State
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    FRONT_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    ENDED_FIELD_NUMBER: _ClassVar[int]
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    MOVED_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: Job.Kind
    front: str
    collection: str
    state: Job.State
    started: _timestamp_pb2.Timestamp
    ended: _timestamp_pb2.Timestamp
    stage: str
    done: int
    total: int
    epoch: int
    moved: int
    problem: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[Job.Kind, str]] = ..., front: _Optional[str] = ..., collection: _Optional[str] = ..., state: _Optional[_Union[Job.State, str]] = ..., started: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., stage: _Optional[str] = ..., done: _Optional[int] = ..., total: _Optional[int] = ..., epoch: _Optional[int] = ..., moved: _Optional[int] = ..., problem: _Optional[str] = ...) -> None: ...

class ListJobsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListJobsResponse(_message.Message):
    __slots__ = ("jobs",)
    JOBS_FIELD_NUMBER: _ClassVar[int]
    jobs: _containers.RepeatedCompositeFieldContainer[Job]
    def __init__(self, jobs: _Optional[_Iterable[_Union[Job, _Mapping]]] = ...) -> None: ...

class WatchJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelJobRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetAuditReportRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetAuditReportResponse(_message.Message):
    __slots__ = ("report_json",)
    REPORT_JSON_FIELD_NUMBER: _ClassVar[int]
    report_json: str
    def __init__(self, report_json: _Optional[str] = ...) -> None: ...
