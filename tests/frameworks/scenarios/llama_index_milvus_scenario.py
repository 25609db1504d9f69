"""llama-index-vector-stores-milvus: indexes, hybrid search, MMR, node filters, getting, deleting, clearing, async."""

from __future__ import annotations

import asyncio
from typing import Any

import clinic
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.schema import BaseNode, NodeRelationship, NodeWithScore, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from llama_index.vector_stores.milvus import MilvusVectorStore
from llama_index.vector_stores.milvus.utils import BaseSparseEmbeddingFunction
from pymilvus import DataType

TOP = 10
DOCUMENTS = 10
"""Nodes are spread over so many documents."""


class MiniLMEmbedding(BaseEmbedding):
    """The packaged embedder in llama-index's interface."""

    _embedder: clinic.Embedder

    def __init__(self, embedder: clinic.Embedder) -> None:
        super().__init__(model_name="all-MiniLM-L6-v2")
        self._embedder = embedder

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._embedder.embed(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._embedder.embed(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embedder.embed(text)


class Terms(BaseSparseEmbeddingFunction):
    """BM25-like term weights in the store's interface."""

    def encode_queries(self, queries: list[str]) -> list[dict[int, float]]:
        return [dict(zip(*clinic.question_terms(text), strict=True)) for text in queries]

    def encode_documents(self, documents: list[str]) -> list[dict[int, float]]:
        return [dict(zip(*clinic.terms(text), strict=True)) for text in documents]


def _nodes() -> list[TextNode]:
    return [
        TextNode(
            id_=entry.id,
            text=entry.text,
            metadata=dict(entry.metadata),
            excluded_embed_metadata_keys=list(entry.metadata),
            relationships={NodeRelationship.SOURCE: RelatedNodeInfo(node_id=f"document-{number % DOCUMENTS}")},
        )
        for number, entry in enumerate(clinic.ENTRIES)
    ]


def _one(key: str, value: Any, operator: FilterOperator = FilterOperator.EQ) -> MetadataFilters:
    return MetadataFilters(filters=[MetadataFilter(key=key, value=value, operator=operator)])


def _filters() -> dict[str, MetadataFilters]:
    departments = sorted({entry.metadata["department"] for entry in clinic.ENTRIES})
    by_department = _one("department", departments[0])
    return {
        "equal": by_department,
        "not-equal": _one("department", departments[0], FilterOperator.NE),
        "in": _one("department", departments[:2], FilterOperator.IN),
        "not-in": _one("department", departments[:3], FilterOperator.NIN),
        "integer": _one("page", 3),
        "greater": _one("page", 8, FilterOperator.GT),
        "at-most": _one("page", 2, FilterOperator.LTE),
        "or": MetadataFilters(filters=[*_one("page", 1).filters, *by_department.filters], condition=FilterCondition.OR),
        "and": MetadataFilters(filters=[*by_department.filters, *_one("page", 3, FilterOperator.GTE).filters]),
    }


def _found(found: list[NodeWithScore]) -> list[dict[str, Any]]:
    return [clinic.hit(each.node_id, each.get_content(), each.metadata, each.score) for each in found]


def _answer(found: VectorStoreQueryResult) -> list[dict[str, Any]]:
    scored = zip(found.nodes or (), found.similarities or (), strict=True)
    return [clinic.hit(node.node_id, node.get_content(), node.metadata, score) for node, score in scored]


def _plain(nodes: list[BaseNode]) -> list[dict[str, Any]]:
    return sorted((clinic.hit(n.node_id, n.get_content(), n.metadata) for n in nodes), key=lambda found: found["id"])


def _store(where: clinic.Connection, name: str, **options: Any) -> MilvusVectorStore:
    given = {"overwrite": True, "use_async_client": False, "similarity_metric": "COSINE", **options}
    # Departments in a column of their own, all other metadata in dynamic fields.
    columns = {"scalar_field_names": ["department"], "scalar_field_types": [DataType.VARCHAR]}
    return MilvusVectorStore(
        uri=where.milvus,
        collection_name=name,
        dim=clinic.DIMS,
        consistency_level="Strong",
        output_fields=["*"],
        **columns,
        **given,
    )


def _index(store: MilvusVectorStore, embedding: MiniLMEmbedding) -> VectorStoreIndex:
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(_nodes(), storage_context=context, embed_model=embedding)


def _query(embedding: MiniLMEmbedding, text: str, **options: Any) -> VectorStoreQuery:
    given = {"similarity_top_k": TOP, "query_str": text, **options}
    return VectorStoreQuery(query_embedding=embedding.get_query_embedding(text), **given)


def dense(index: VectorStoreIndex, store: MilvusVectorStore, embedding: MiniLMEmbedding) -> dict[str, Any]:
    """Everything that reads a store without sparse vectors."""
    question = clinic.ASKED[0]
    some = [entry.id for entry in clinic.ENTRIES[:25]]
    retriever = index.as_retriever(similarity_top_k=TOP)
    mmr = index.as_retriever(
        similarity_top_k=5, vector_store_query_mode="mmr", vector_store_kwargs={"mmr_threshold": 0.5}
    )
    return {
        "nearest": [_found(retriever.retrieve(asked)) for asked in clinic.ASKED],
        "filtered": {
            name: _found(index.as_retriever(similarity_top_k=TOP, filters=given).retrieve(question))
            for name, given in _filters().items()
        },
        "nodes": _answer(store.query(_query(embedding, question, node_ids=some))),
        "documents": _answer(store.query(_query(embedding, question, doc_ids=["document-1", "document-4"]))),
        "own-filter": _answer(store.query(_query(embedding, question), string_expr="urgent == true")),
        "mmr": [hit["id"] for hit in _found(mmr.retrieve(question))],
    }


def hybrid(where: clinic.Connection, embedding: MiniLMEmbedding) -> dict[str, Any]:
    """Sparse and hybrid queries, fused by the server."""
    weights = {"hybrid_ranker": "WeightedRanker", "hybrid_ranker_params": {"weights": [0.6, 0.4]}}
    store = _store(where, "llama_hybrid", enable_sparse=True, sparse_embedding_function=Terms(), **weights)
    index = _index(store, embedding)
    found = {
        mode.value: [
            _found(index.as_retriever(vector_store_query_mode=mode, similarity_top_k=7).retrieve(asked))
            for asked in clinic.ASKED
        ]
        for mode in (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.DEFAULT)
    }
    given = index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=5, filters=_filters()["and"])
    # The framework drops a fifth of a sparse query's terms, whatever it is told, which Milvus Lite refuses.
    sparse = index.as_retriever(vector_store_query_mode=VectorStoreQueryMode.SPARSE)
    refused = clinic.refused(sparse.retrieve, clinic.ASKED[0])
    return found | {"filtered": _found(given.retrieve(clinic.ASKED[1])), "sparse-refused": refused}


def changes(index: VectorStoreIndex, store: MilvusVectorStore) -> dict[str, Any]:
    """Getting, inserting, and deleting nodes, one by one, by filter and by document."""
    ids = [entry.id for entry in clinic.ENTRIES[:4]]
    everything = _one("department", "", FilterOperator.NE)
    extra = TextNode(
        id_="7d0a2f3e-0000-4000-8000-000000000004",
        text="The lighthouse keeper counted eleven ships.",
        metadata={"department": "harbour"},
        excluded_embed_metadata_keys=["department"],
    )
    results: dict[str, Any] = {
        "get": _plain(store.get_nodes(node_ids=ids)),
        "get-filtered": _plain(store.get_nodes(filters=_filters()["and"])),
    }
    index.insert_nodes([extra])
    results["inserted"] = _found(index.as_retriever(similarity_top_k=1).retrieve("ships and a lighthouse"))
    store.delete_nodes(node_ids=ids[:2])
    store.delete_nodes(filters=_filters()["equal"])
    index.delete_ref_doc("document-3")
    return results | {"left": _plain(store.get_nodes(filters=everything))}


async def asynchronous(where: clinic.Connection, embedding: MiniLMEmbedding) -> dict[str, Any]:
    """The async API."""
    store = _store(where, "llama_async", use_async_client=True)
    nodes = _nodes()[:60]
    for node in nodes:
        node.embedding = embedding.get_text_embedding(node.text)
    added = await store.async_add(nodes)
    asked = [await store.aquery(_query(embedding, text, filters=_filters()["in"])) for text in clinic.ASKED[:3]]
    results: dict[str, Any] = {"added": added, "asked": [_answer(found) for found in asked]}
    await store.adelete("document-1")
    await store.adelete_nodes(node_ids=[nodes[0].node_id])
    results["left"] = _plain(await store.aget_nodes(filters=_one("department", "", FilterOperator.NE)))
    await store.aclear()
    return results | {"cleared": "llama_async" in store.client.list_collections()}


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    embedding = MiniLMEmbedding(where.embedder)
    store = _store(where, "llama_dense")
    index = _index(store, embedding)
    again = VectorStoreIndex.from_vector_store(_store(where, "llama_dense", overwrite=False), embed_model=embedding)
    results: dict[str, Any] = {
        "dense": dense(index, store, embedding),
        "again": _found(again.as_retriever(similarity_top_k=3).retrieve(clinic.ASKED[0])),
        "hybrid": hybrid(where, embedding) if where.sparse else None,
        "changes": changes(index, store),
        "async": asyncio.run(asynchronous(where, embedding)),
    }
    gone = _store(where, "llama_cleared")
    _index(gone, embedding)
    gone.clear()
    results["cleared"] = "llama_cleared" in gone.client.list_collections()
    clinic.report(results)


if __name__ == "__main__":
    main()
