"""llama-index-vector-stores-qdrant: indexes, hybrid search, node filters, getting, deleting, clearing, async."""

from __future__ import annotations

import asyncio
from typing import Any

import clinic
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.llms import MockLLM
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
from llama_index.vector_stores.qdrant import QdrantVectorStore
from qdrant_client import AsyncQdrantClient, QdrantClient, models

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


def _terms(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    pairs = [clinic.terms(text) for text in texts]
    return [indices for indices, _ in pairs], [values for _, values in pairs]


def _question_terms(texts: list[str]) -> tuple[list[list[int]], list[list[float]]]:
    pairs = [clinic.question_terms(text) for text in texts]
    return [indices for indices, _ in pairs], [values for _, values in pairs]


def _nodes() -> list[TextNode]:
    return [
        TextNode(
            id_=entry.id,
            text=entry.text,
            metadata=dict(entry.metadata) | {"remark": f"seen in {entry.metadata['department']}"},
            # Only the text is embedded.
            excluded_embed_metadata_keys=[*entry.metadata, "remark"],
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
        "float": _one("weight", 0.625),
        "greater": _one("page", 8, FilterOperator.GT),
        "at-most": _one("page", 2, FilterOperator.LTE),
        "empty": _one("nowhere", None, FilterOperator.IS_EMPTY),
        "text": _one("remark", departments[1], FilterOperator.TEXT_MATCH),
        "or": MetadataFilters(
            filters=[_one("page", 1), MetadataFilter(key="urgent", value="never"), by_department],
            condition=FilterCondition.OR,
        ),
        "not": MetadataFilters(filters=[by_department], condition=FilterCondition.NOT),
        "and": MetadataFilters(filters=[*by_department.filters, *_one("page", 3, FilterOperator.GTE).filters]),
    }


def _found(found: list[NodeWithScore]) -> list[dict[str, Any]]:
    return [clinic.hit(each.node_id, each.get_content(), each.metadata, each.score) for each in found]


def _answer(found: VectorStoreQueryResult) -> list[dict[str, Any]]:
    scored = zip(found.nodes or (), found.similarities or (), strict=True)
    return [clinic.hit(node.node_id, node.get_content(), node.metadata, score) for node, score in scored]


def _plain(nodes: list[BaseNode]) -> list[dict[str, Any]]:
    return sorted((clinic.hit(n.node_id, n.get_content(), n.metadata) for n in nodes), key=lambda found: found["id"])


def _index(store: QdrantVectorStore, embedding: MiniLMEmbedding) -> VectorStoreIndex:
    context = StorageContext.from_defaults(vector_store=store)
    return VectorStoreIndex(_nodes(), storage_context=context, embed_model=embedding)


def _query(embedding: MiniLMEmbedding, text: str, **options: Any) -> VectorStoreQuery:
    given = {"similarity_top_k": TOP, "query_str": text, **options}
    return VectorStoreQuery(query_embedding=embedding.get_query_embedding(text), **given)


def dense(index: VectorStoreIndex, store: QdrantVectorStore, embedding: MiniLMEmbedding) -> dict[str, Any]:
    """Everything that reads an index without sparse vectors."""
    question = clinic.ASKED[0]
    some = [entry.id for entry in clinic.ENTRIES[:25]]
    urgent = models.Filter(must=[models.FieldCondition(key="urgent", match=models.MatchValue(value=True))])
    retriever = index.as_retriever(similarity_top_k=TOP)
    engine = index.as_query_engine(llm=MockLLM(), similarity_top_k=3)
    return {
        "nearest": [_found(retriever.retrieve(asked)) for asked in clinic.ASKED],
        "filtered": {
            name: _found(index.as_retriever(similarity_top_k=TOP, filters=given).retrieve(question))
            for name, given in _filters().items()
        },
        "documents": _answer(store.query(_query(embedding, question, doc_ids=["document-1", "document-4"]))),
        "nodes": _answer(store.query(_query(embedding, question, node_ids=some))),
        "own-filter": _answer(store.query(_query(embedding, question), qdrant_filters=urgent)),
        "sources": _found(engine.query(question).source_nodes),
    }


def hybrid(index: VectorStoreIndex, embedding: MiniLMEmbedding) -> dict[str, Any]:
    """Sparse and hybrid queries, fused by the framework itself."""
    by_mode = {
        mode.value: [
            _found(
                index.as_retriever(
                    vector_store_query_mode=mode, similarity_top_k=6, sparse_top_k=8, hybrid_top_k=7, alpha=0.4
                ).retrieve(asked)
            )
            for asked in clinic.ASKED
        ]
        for mode in (VectorStoreQueryMode.HYBRID, VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.DEFAULT)
    }
    filters = _filters()["and"]
    given = index.as_retriever(vector_store_query_mode="hybrid", similarity_top_k=5, filters=filters)
    return by_mode | {"filtered": _found(given.retrieve(clinic.ASKED[1]))}


def changes(index: VectorStoreIndex, store: QdrantVectorStore) -> dict[str, Any]:
    """Getting, inserting, updating and deleting nodes, one by one, by filter and by document."""

    def count() -> int:
        return int(store.client.count(store.collection_name).count)

    ids = [entry.id for entry in clinic.ENTRIES[:4]]
    extra = TextNode(id_="7d0a2f3e-0000-4000-8000-000000000002", text="The lighthouse keeper counted eleven ships.")
    results: dict[str, Any] = {
        "get": _plain(store.get_nodes(node_ids=ids)),
        "get-filtered": _plain(store.get_nodes(filters=_filters()["and"])),
        "get-vectors": [len(node.embedding or ()) for node in store.get_nodes(node_ids=ids)],
    }
    index.insert_nodes([extra])
    results["inserted"] = _found(index.as_retriever(similarity_top_k=1).retrieve("ships and a lighthouse"))
    store.delete_nodes(node_ids=ids[:2])
    results["nodes-deleted"] = [count(), _plain(store.get_nodes(node_ids=ids))]
    store.delete_nodes(filters=_filters()["equal"])
    results["filter-deleted"] = count()
    index.delete_ref_doc("document-3")
    results["document-deleted"] = count()
    return results | {"left": _plain(store.get_nodes())}


async def asynchronous(where: clinic.Connection, embedding: MiniLMEmbedding) -> dict[str, Any]:
    """The async API over an async client alone."""
    client = AsyncQdrantClient(**where.options)
    name = "llama-async"
    if await client.collection_exists(name):
        await client.delete_collection(name)
    store = QdrantVectorStore(name, aclient=client)
    nodes = _nodes()[:60]
    for node in nodes:
        node.embedding = embedding.get_text_embedding(node.text)
    added = await store.async_add(nodes)
    asked = [await store.aquery(_query(embedding, text, filters=_filters()["in"])) for text in clinic.ASKED[:3]]
    results: dict[str, Any] = {"added": added, "asked": [_answer(found) for found in asked]}
    await store.adelete("document-1")
    await store.adelete_nodes(node_ids=[nodes[0].node_id])
    results["left"] = _plain(await store.aget_nodes())
    await store.aclear()
    results["cleared"] = await client.collection_exists(name)
    await client.close()
    return results


def _fresh(client: QdrantClient, name: str, **options: Any) -> QdrantVectorStore:
    if client.collection_exists(name):
        client.delete_collection(name)
    return QdrantVectorStore(name, client=client, **options)


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    embedding, client = MiniLMEmbedding(where.embedder), QdrantClient(**where.options)
    indexed = [{"field_name": "department", "field_schema": models.PayloadSchemaType.KEYWORD}]
    store = _fresh(client, "llama-dense", payload_indexes=indexed)
    index = _index(store, embedding)
    sparse = {"sparse_doc_fn": _terms, "sparse_query_fn": _question_terms}
    mixed = _index(_fresh(client, "llama-hybrid", enable_hybrid=True, **sparse), embedding)
    again = VectorStoreIndex.from_vector_store(QdrantVectorStore("llama-dense", client=client), embed_model=embedding)
    results: dict[str, Any] = {
        "dense": dense(index, store, embedding),
        "again": _found(again.as_retriever(similarity_top_k=3).retrieve(clinic.ASKED[0])),
        "indexes": sorted(client.get_collection("llama-dense").payload_schema),
        "hybrid": hybrid(mixed, embedding),
        "changes": changes(index, store),
        "async": asyncio.run(asynchronous(where, embedding)),
    }
    gone = _fresh(client, "llama-cleared")
    _index(gone, embedding)
    gone.clear()
    results["cleared"] = client.collection_exists("llama-cleared")
    clinic.report(results)


if __name__ == "__main__":
    main()
