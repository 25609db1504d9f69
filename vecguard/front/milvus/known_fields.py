"""The fields of requests that VecGuard was written for; a request that sets any other is refused.

A field that the generated code here does not know is refused by the pipeline. But that code is pymilvus', and a newer
pymilvus knows newer fields, which nobody here has looked at: each could carry a client's data in clear. So what counts
as known is written down here: for every message within a request that is not refused anyway, the fields that are
rewritten, checked, or carry nothing that a policy protects. A field goes into this table with the code that handles it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from vecguard.errors import UnknownField

_PACKAGE: Final = "milvus.proto."
# `message: fields`, for pymilvus 2.6 to 3.0; a further line of the same message begins with a blank.
_FIELDS: Final = """
common.ClientInfo: sdk_type sdk_version local_time user host reserved
common.Highlighter: type params
common.KeyValuePair: key value
common.MetricAggSpec: op field_name
common.MsgBase: msg_type msgID timestamp sourceID targetID properties replicateInfo
common.OrderSpec: key direction null_first
common.PlaceholderGroup: placeholders
common.PlaceholderValue: tag type values element_level
common.ReplicateInfo: isReplicate msgTimestamp replicateID
common.SearchAggregationSpec: fields size metrics order top_hits sub_aggregation search_size
common.SortSpec: field_name direction null_first
common.TopHitsSpec: size sort
milvus.AddCollectionFieldRequest: base db_name collection_name collectionID schema
milvus.AddUserTagsRequest: base user_name tags
milvus.AllocTimestampRequest: base
milvus.AlterAliasRequest: base db_name collection_name alias
milvus.AlterCollectionFieldRequest: base db_name collection_name field_name properties delete_keys
milvus.AlterCollectionRequest: base db_name collection_name collectionID properties delete_keys
milvus.AlterCollectionSchemaRequest: base db_name collection_name collectionID action
milvus.AlterCollectionSchemaRequest.Action: add_request drop_request
milvus.AlterCollectionSchemaRequest.AddRequest: field_infos func_schema do_physical_backfill
milvus.AlterCollectionSchemaRequest.DropRequest: field_name field_id function_name drop_function_output_fields
milvus.AlterCollectionSchemaRequest.FieldInfo: field_schema index_name extra_params
milvus.AlterDatabaseRequest: base db_name db_id properties delete_keys
milvus.AlterIndexRequest: base db_name collection_name index_name extra_params delete_keys
milvus.AlterRoleRequest: base role_name description
milvus.BatchDescribeCollectionRequest: db_name collection_name collectionID
milvus.ConnectRequest: base client_info
milvus.CreateAliasRequest: base db_name collection_name alias
milvus.CreateCollectionRequest: base db_name collection_name schema shards_num consistency_level properties
    num_partitions
milvus.CreateCredentialRequest: base username password created_utc_timestamps modified_utc_timestamps description
milvus.CreateDatabaseRequest: base db_name properties
milvus.CreateIndexRequest: base db_name collection_name field_name extra_params index_name
milvus.CreatePartitionRequest: base db_name collection_name partition_name
milvus.CreatePrivilegeGroupRequest: base group_name
milvus.CreateResourceGroupRequest: base resource_group config
milvus.CreateRoleRequest: base entity
milvus.DeleteCredentialRequest: base username
milvus.DeleteRequest: base db_name collection_name partition_name expr hash_keys consistency_level
    expr_template_values namespace
milvus.DeleteUserTagsRequest: base user_name tag_keys
milvus.DescribeAliasRequest: base db_name alias
milvus.DescribeCollectionRequest: base db_name collection_name collectionID time_stamp
milvus.DescribeDatabaseRequest: base db_name
milvus.DescribeIndexRequest: base db_name collection_name field_name index_name timestamp
milvus.DescribeResourceGroupRequest: base resource_group
milvus.DropAliasRequest: base db_name alias
milvus.DropCollectionRequest: base db_name collection_name
milvus.DropDatabaseRequest: base db_name
milvus.DropIndexRequest: base db_name collection_name field_name index_name
milvus.DropPartitionRequest: base db_name collection_name partition_name
milvus.DropPrivilegeGroupRequest: base group_name
milvus.DropResourceGroupRequest: base resource_group
milvus.DropRoleRequest: base role_name force_drop
milvus.FlushAllRequest: base db_name flush_targets
milvus.FlushAllTarget: db_name collection_names
milvus.FlushRequest: base db_name collection_names
milvus.GetCollectionStatisticsRequest: base db_name collection_name
milvus.GetCompactionPlansRequest: compactionID db_name collection_name collection_id
milvus.GetCompactionStateRequest: compactionID
milvus.GetFlushAllStateRequest: base flush_all_ts db_name flush_targets flush_all_tss
milvus.GetFlushStateRequest: segmentIDs flush_ts db_name collection_name
milvus.GetIndexBuildProgressRequest: base db_name collection_name field_name index_name
milvus.GetIndexStateRequest: base db_name collection_name field_name index_name
milvus.GetIndexStatisticsRequest: base db_name collection_name index_name timestamp
milvus.GetLoadStateRequest: base collection_name partition_names db_name
milvus.GetLoadingProgressRequest: base collection_name partition_names db_name
milvus.GetMetricsRequest: base request
milvus.GetPartitionStatisticsRequest: base db_name collection_name partition_name
milvus.GetPersistentSegmentInfoRequest: base dbName collectionName states
milvus.GetQuerySegmentInfoRequest: base dbName collectionName
milvus.GetReplicasRequest: base collectionID with_shard_nodes collection_name db_name
milvus.GetUserTagsRequest: base user_name
milvus.GrantEntity: role object object_name grantor db_name
milvus.GrantorEntity: user privilege
milvus.HasCollectionRequest: base db_name collection_name time_stamp
milvus.HasPartitionRequest: base db_name collection_name partition_name
milvus.HybridSearchRequest: base db_name collection_name partition_names requests rank_params travel_timestamp
    guarantee_timestamp not_return_all_meta output_fields consistency_level use_default_consistency function_score
    namespace function_chains
milvus.InsertRequest: base db_name collection_name partition_name fields_data hash_keys num_rows schema_timestamp
    namespace
milvus.ListAliasesRequest: base db_name collection_name
milvus.ListCredUsersRequest: base
milvus.ListDatabasesRequest: base
milvus.ListPrivilegeGroupsRequest: base
milvus.ListResourceGroupsRequest: base
milvus.ListUsersWithTagRequest: base tag_key tag_value
milvus.LoadBalanceRequest: base src_nodeID dst_nodeIDs sealed_segmentIDs collectionName db_name
milvus.LoadCollectionRequest: base db_name collection_name replica_number resource_groups refresh load_fields
    skip_load_dynamic_field load_params
milvus.LoadPartitionsRequest: base db_name collection_name partition_names replica_number resource_groups refresh
    load_fields skip_load_dynamic_field load_params
milvus.ManualCompactionRequest: collectionID timetravel majorCompaction collection_name db_name partition_id channel
    segment_ids l0Compaction target_size
milvus.ObjectEntity: name
milvus.OperatePrivilegeGroupRequest: base group_name privileges type
milvus.OperatePrivilegeRequest: base entity type version
milvus.OperatePrivilegeV2Request: base role grantor type db_name collection_name
milvus.OperateUserRoleRequest: base username role_name type
milvus.PrivilegeEntity: name
milvus.QueryRequest: base db_name collection_name expr output_fields partition_names travel_timestamp
    guarantee_timestamp query_params not_return_all_meta consistency_level use_default_consistency
    expr_template_values namespace
milvus.ReleaseCollectionRequest: base db_name collection_name
milvus.ReleasePartitionsRequest: base db_name collection_name partition_names
milvus.RenameCollectionRequest: base db_name oldName newName newDBName
milvus.RoleEntity: name description
milvus.SearchRequest: base db_name collection_name partition_names dsl placeholder_group ids dsl_type output_fields
    search_params travel_timestamp guarantee_timestamp nq not_return_all_meta consistency_level
    use_default_consistency search_by_primary_keys sub_reqs expr_template_values function_score namespace highlighter
    search_aggregation function_chains
milvus.SelectGrantRequest: base entity
milvus.SelectRoleRequest: base role include_user_info
milvus.SelectUserRequest: base user include_role_info
milvus.ShowCollectionsRequest: base db_name time_stamp type collection_names
milvus.ShowPartitionsRequest: base db_name collection_name collectionID partition_names type
milvus.SubSearchRequest: dsl placeholder_group dsl_type search_params nq expr_template_values namespace
milvus.TransferNodeRequest: base source_resource_group target_resource_group num_node
milvus.TransferReplicaRequest: base source_resource_group target_resource_group collection_name num_replica db_name
milvus.TruncateCollectionRequest: base db_name collection_name
milvus.UpdateCredentialRequest: base username oldPassword newPassword created_utc_timestamps modified_utc_timestamps
    description
milvus.UpdateResourceGroupsRequest: base resource_groups
milvus.UpsertRequest: base db_name collection_name partition_name fields_data hash_keys num_rows schema_timestamp
    partial_update namespace field_ops
milvus.UserEntity: name
rg.ResourceGroupConfig: requests limits transfer_from transfer_to node_filter
rg.ResourceGroupLimit: node_num
rg.ResourceGroupNodeFilter: node_labels
rg.ResourceGroupTransfer: resource_group
schema.ArrayArray: data element_type
schema.BoolArray: data
schema.BytesArray: data
schema.CollectionSchema: name description autoID fields enable_dynamic_field properties functions dbName
    struct_array_fields version external_source external_spec do_physical_backfill file_resource_ids enable_namespace
schema.DateArray: data
schema.DoubleArray: data
schema.FieldData: type field_name scalars vectors struct_arrays field_id is_dynamic valid_data
schema.FieldPartialUpdateOp: field_name op
schema.FieldSchema: fieldID name is_primary_key description data_type type_params index_params autoID state
    element_type default_value is_dynamic is_partition_key is_clustering_key nullable is_function_output
    external_field
schema.FloatArray: data
schema.FunctionChain: name stage ops
schema.FunctionChainColumnArg: name
schema.FunctionChainExpr: name args params
schema.FunctionChainExprArg: column literal
schema.FunctionChainOp: op expr inputs outputs params
schema.FunctionParamArray: values
schema.FunctionParamObject: fields
schema.FunctionParamValue: bool_value int64_value double_value string_value array_value object_value bytes_value
schema.FunctionSchema: name id description type input_field_names input_field_ids output_field_names output_field_ids
    params
schema.FunctionScore: functions params
schema.GeometryArray: data
schema.GeometryWktArray: data
schema.IDs: int_id str_id
schema.IntArray: data
schema.JSONArray: data
schema.LongArray: data
schema.MolArray: data
schema.MolSmilesArray: data
schema.ScalarField: bool_data int_data long_data float_data double_data string_data bytes_data array_data json_data
    geometry_data timestamptz_data geometry_wkt_data mol_data mol_smiles_data date_data time_data
schema.SparseFloatArray: contents dim
schema.StringArray: data
schema.StructArrayField: fields
schema.StructArrayFieldSchema: fieldID name description fields type_params nullable
schema.TemplateArrayValue: bool_data long_data double_data string_data array_data json_data
schema.TemplateArrayValueArray: data
schema.TemplateValue: bool_val int64_val float_val string_val array_val bytes_val
schema.TimeArray: data
schema.TimestamptzArray: data
schema.ValueField: bool_data int_data long_data float_data double_data string_data bytes_data timestamptz_data
    date_data time_data
schema.VectorArray: dim data element_type
schema.VectorField: dim float_vector binary_vector float16_vector bfloat16_vector sparse_float_vector int8_vector
    vector_array
"""
_NONE: Final[frozenset[str]] = frozenset()


def _table(text: str) -> Iterator[tuple[str, frozenset[str]]]:
    for row in text.replace("\n    ", " ").split("\n"):
        name, colon, fields = row.partition(":")
        if colon:
            yield _PACKAGE + name, frozenset(fields.split())


KNOWN: Final[Mapping[str, frozenset[str]]] = dict(_table(_FIELDS))
"""Names of the fields by the full name of their message."""

# By message type: whether it has, at any depth, fields that are not in the table.
_newer: Final[dict[str, bool]] = {}


def has_newer_fields(descriptor: Descriptor) -> bool:
    """Whether a type of messages has, at any depth, fields that are not known here."""
    found = _newer.get(descriptor.full_name)
    if found is None:
        found = _newer[descriptor.full_name] = any(_newer_names(one) for one in _within(descriptor))
    return found


def _within(descriptor: Descriptor) -> list[Descriptor]:
    seen: dict[str, Descriptor] = {}
    waiting = [descriptor]
    while waiting:
        one = waiting.pop()
        if one.full_name not in seen:
            seen[one.full_name] = one
            waiting.extend(field.message_type for field in one.fields if field.message_type is not None)
    return list(seen.values())


def _newer_names(descriptor: Descriptor) -> list[str]:
    if descriptor.GetOptions().map_entry:
        return []
    known = KNOWN.get(descriptor.full_name, _NONE)
    return [field.name for field in descriptor.fields if field.name not in known]


def require_known(message: Message) -> None:
    """Go on only where every field that a request sets, at any depth, is known here.

    Costs nothing with the versions of pymilvus that the table was made for.

    Raises:
        UnknownField: one is not; names it.
    """
    if not has_newer_fields(cast("Descriptor", message.DESCRIPTOR)):
        return
    known = KNOWN.get(message.DESCRIPTOR.full_name, _NONE)
    for field, value in message.ListFields():
        if field.name not in known:
            raise UnknownField(
                f"{message.DESCRIPTOR.name}.{field.name}: this version of VecGuard does not know the field; it could "
                "hold data in clear, so nothing was forwarded. Upgrade VecGuard, or use an older client"
            )
        for part in _messages(field, value):
            require_known(part)


def _messages(field: FieldDescriptor, value: Any) -> Iterator[Message]:
    """The messages that a field holds."""
    if field.message_type is None:
        return
    if isinstance(value, Message):
        yield value
        return
    # A map from names to messages is read by its values, a repeated field as it is.
    parts = value.values() if field.message_type.GetOptions().map_entry else value
    yield from (part for part in parts if isinstance(part, Message))
