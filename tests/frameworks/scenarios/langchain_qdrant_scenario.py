"""langchain-qdrant: dense, sparse and hybrid stores, MMR, filters, thresholds, retrievers, updates, the async API."""

from __future__ import annotations

import asyncio
from typing import Any

import clinic
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import QdrantClient, models

TOP = 10


class MiniLMEmbeddings(Embeddings):
    """The packaged embedder in langchain's interface."""

    def __init__(self, embedder: clinic.Embedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.all(texts)

    def embed_query(self, text: str) -> list[float]:
        return self._embedder.embed(text)


class Terms(SparseEmbeddings):
    """BM25-like term weights in langchain-qdrant's interface."""

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        return [SparseVector(indices=i, values=v) for i, v in map(clinic.terms, texts)]

    def embed_query(self, text: str) -> SparseVector:
        indices, values = clinic.question_terms(text)
        return SparseVector(indices=indices, values=values)


def _match(key: str, value: Any) -> models.FieldCondition:
    return models.FieldCondition(key=key, match=models.MatchValue(value=value))


def _filters() -> dict[str, models.Filter]:
    some = [entry.id for entry in clinic.ENTRIES[:20]]
    departments = sorted({entry.metadata["department"] for entry in clinic.ENTRIES})
    either = models.MatchAny(any=departments[:2])
    others = models.MatchExcept(**{"except": departments[:3]})
    in_march = models.DatetimeRange(gte="2026-03-01T00:00:00Z", lt="2026-04-01T00:00:00Z")
    return {
        "equal": models.Filter(must=[_match("metadata.department", departments[0])]),
        "any": models.Filter(must=[models.FieldCondition(key="metadata.department", match=either)]),
        "except": models.Filter(must=[models.FieldCondition(key="metadata.department", match=others)]),
        "not": models.Filter(must_not=[_match("metadata.diagnosis", clinic.ENTRIES[0].metadata["diagnosis"])]),
        "urgent": models.Filter(must=[_match("metadata.urgent", True)]),
        "in-list": models.Filter(must=[_match("metadata.tags[]", departments[1])]),
        "integer": models.Filter(must=[_match("metadata.page", 3)]),
        "range": models.Filter(must=[models.FieldCondition(key="metadata.page", range=models.Range(gte=4, lt=9))]),
        "dates": models.Filter(must=[models.FieldCondition(key="metadata.written", range=in_march)]),
        "ids": models.Filter(must=[models.HasIdCondition(has_id=some)]),
        "empty": models.Filter(
            must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="metadata.nowhere"))],
            must_not=[models.IsNullCondition(is_null=models.PayloadField(key="metadata.patient"))],
        ),
        "mixed": models.Filter(
            should=[_match("metadata.department", departments[2]), _match("metadata.urgent", True)],
            must=[models.FieldCondition(key="metadata.weight", range=models.Range(gt=0.5))],
        ),
    }


def _scored(found: list[tuple[Document, float]]) -> list[dict[str, Any]]:
    return [clinic.hit(document.metadata["_id"], document.page_content, document.metadata, s) for document, s in found]


def _plain(found: list[Document]) -> list[dict[str, Any]]:
    return [clinic.hit(document.metadata["_id"], document.page_content, document.metadata) for document in found]


def _documents() -> list[Document]:
    return [Document(page_content=entry.text, metadata=entry.metadata) for entry in clinic.ENTRIES]


def _store(where: clinic.Connection, name: str, mode: RetrievalMode, **options: Any) -> QdrantVectorStore:
    return QdrantVectorStore.from_documents(
        _documents(),
        MiniLMEmbeddings(where.embedder),
        ids=[entry.id for entry in clinic.ENTRIES],
        collection_name=name,
        sparse_embedding=Terms(),
        retrieval_mode=mode,
        force_recreate=True,
        **where.options,
        **options,
    )


def dense(store: QdrantVectorStore) -> dict[str, Any]:
    """Everything that reads a dense store."""
    question = clinic.ASKED[0]
    by_vector = store.embeddings.embed_query(question)
    threshold = store.similarity_search_with_score(question, k=TOP)[4][1]
    return {
        "nearest": [_scored(store.similarity_search_with_score(asked, k=TOP)) for asked in clinic.ASKED],
        "filtered": {
            name: _scored(store.similarity_search_with_score(question, k=TOP, filter=given))
            for name, given in _filters().items()
        },
        "offset": _scored(store.similarity_search_with_score(question, k=5, offset=5)),
        "threshold": _scored(store.similarity_search_with_score(question, k=TOP, score_threshold=threshold - 1e-5)),
        "by-vector": _scored(store.similarity_search_with_score_by_vector(by_vector, k=TOP)),
        "relevance": _scored(store.similarity_search_with_relevance_scores(question, k=TOP)),
        "mmr": [
            _scored(
                store.max_marginal_relevance_search_with_score_by_vector(
                    by_vector, k=5, fetch_k=40, lambda_mult=diversity
                )
            )
            for diversity in (0.0, 0.4, 1.0)
        ],
        "get": _plain(store.get_by_ids([entry.id for entry in clinic.ENTRIES[5:8]])),
    }


def retrievers(store: QdrantVectorStore) -> dict[str, Any]:
    """The three kinds of retriever that langchain makes from a store."""
    kinds: dict[str, dict[str, Any]] = {
        "similarity": {"k": 4, "filter": _filters()["urgent"]},
        "mmr": {"k": 4, "fetch_k": 30, "lambda_mult": 0.5},
        "similarity_score_threshold": {"k": TOP, "score_threshold": 0.75},
    }
    return {
        kind: _plain(store.as_retriever(search_type=kind, search_kwargs=options).invoke(clinic.ASKED[1]))
        for kind, options in kinds.items()
    }


async def asynchronous(store: QdrantVectorStore) -> dict[str, Any]:
    """The async API, including writes."""
    extra = Document(page_content="A parcel of blue envelopes was left at the desk.", metadata={"department": "post"})
    ident = "7d0a2f3e-0000-4000-8000-000000000001"
    added = await store.aadd_documents([extra], ids=[ident])
    results = {
        "added": added,
        "found": _scored(await store.asimilarity_search_with_score("blue envelopes", k=1)),
        "mmr": _plain(await store.amax_marginal_relevance_search(clinic.ASKED[2], k=4, fetch_k=20)),
        "retriever": _plain(await store.as_retriever(search_kwargs={"k": 3}).ainvoke(clinic.ASKED[3])),
        "deleted": await store.adelete([ident]),
    }
    return results | {"after": _scored(await store.asimilarity_search_with_score("blue envelopes", k=1))}


def changes(store: QdrantVectorStore) -> dict[str, Any]:
    """Overwriting and deleting documents."""
    first, second = clinic.ENTRIES[:2]
    changed = Document(page_content="The lighthouse keeper counted eleven ships.", metadata={"department": "harbour"})
    store.add_documents([changed], ids=[first.id])
    results = {
        "overwritten": _plain(store.get_by_ids([first.id])),
        "found": _scored(store.similarity_search_with_score("lighthouse ships", k=1)),
        "filter": _scored(
            store.similarity_search_with_score(
                "ships", k=3, filter=models.Filter(must=[_match("metadata.department", "harbour")])
            )
        ),
        "deleted": store.delete([second.id]),
        "gone": _plain(store.get_by_ids([second.id])),
        "left": store.client.count(store.collection_name).count,
    }
    return results | {"again": store.delete([second.id])}


def distances(where: clinic.Connection) -> dict[str, Any]:
    """The other distances that langchain knows."""
    found = {}
    for distance in (models.Distance.DOT, models.Distance.EUCLID):
        store = _store(where, f"langchain-{distance.value.lower()}", RetrievalMode.DENSE, distance=distance)
        found[distance.value] = _scored(store.similarity_search_with_score(clinic.ASKED[0], k=TOP))
        store.client.delete_collection(store.collection_name)
    return found


def declared(where: clinic.Connection) -> dict[str, Any]:
    """Options of a collection that pass through the framework to the database, one hybrid store for each."""
    scalar = models.ScalarQuantization(scalar=models.ScalarQuantizationConfig(type=models.ScalarType.INT8))
    indexing = models.OptimizersConfigDiff(indexing_threshold=0)
    given: dict[str, dict[str, Any]] = {
        "on-disk": {"vector_params": {"on_disk": True, "hnsw_config": models.HnswConfigDiff(m=8, ef_construct=50)}},
        "quantized": {"vector_params": {"quantization_config": scalar}},
        "half": {"vector_params": {"datatype": models.Datatype.FLOAT16}},
        "sparse-index": {"sparse_vector_params": {"index": models.SparseIndexParams(on_disk=True)}},
        "collection": {"collection_create_options": {"on_disk_payload": True, "optimizers_config": indexing}},
    }
    exact = models.SearchParams(exact=True, hnsw_ef=64, quantization=models.QuantizationSearchParams(rescore=True))
    found = {}
    for name, options in given.items():
        store = _store(where, f"langchain-{name}", RetrievalMode.HYBRID, **options)
        found[name] = _scored(store.similarity_search_with_score(clinic.ASKED[0], k=5, search_params=exact))
        store.client.delete_collection(store.collection_name)
    return found


def existing(where: clinic.Connection, name: str) -> dict[str, Any]:
    """Opening a collection that is there: the framework compares its declaration."""
    embedding = MiniLMEmbeddings(where.embedder)
    store = QdrantVectorStore.from_existing_collection(name, embedding, **where.options)
    client = QdrantClient(**where.options)
    other = {"client": client, "collection_name": name, "embedding": embedding}
    return {
        "nearest": _scored(store.similarity_search_with_score(clinic.ASKED[0], k=3)),
        "distance": clinic.refused(QdrantVectorStore, **other, distance=models.Distance.DOT),
        "vector": clinic.refused(QdrantVectorStore, **other, vector_name="other"),
        "sparse": clinic.refused(
            QdrantVectorStore, **other, retrieval_mode=RetrievalMode.HYBRID, sparse_embedding=Terms()
        ),
    }


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    store = _store(where, "langchain-dense", RetrievalMode.DENSE)
    sparse = _store(where, "langchain-sparse", RetrievalMode.SPARSE)
    idf = {"modifier": models.Modifier.IDF}
    hybrid = _store(where, "langchain-hybrid", RetrievalMode.HYBRID, vector_name="dense", sparse_vector_params=idf)
    given = _filters()["mixed"]
    dbsf = models.FusionQuery(fusion=models.Fusion.DBSF)
    results: dict[str, Any] = {
        "dense": dense(store),
        "retrievers": retrievers(store),
        "sparse": [_scored(sparse.similarity_search_with_score(asked, k=TOP)) for asked in clinic.ASKED],
        "sparse-filtered": _scored(sparse.similarity_search_with_score(clinic.ASKED[0], k=TOP, filter=given)),
        "hybrid": [_scored(hybrid.similarity_search_with_score(asked, k=TOP)) for asked in clinic.ASKED],
        "hybrid-filtered": _scored(hybrid.similarity_search_with_score(clinic.ASKED[0], k=TOP, filter=given)),
        "hybrid-dbsf": _scored(hybrid.similarity_search_with_score(clinic.ASKED[0], k=TOP, hybrid_fusion=dbsf)),
        "hybrid-mmr": _plain(hybrid.max_marginal_relevance_search(clinic.ASKED[0], k=5, fetch_k=30)),
        "existing": existing(where, store.collection_name),
        "async": asyncio.run(asynchronous(store)),
        "changes": changes(store),
        "distances": distances(where),
        "declared": declared(where),
    }
    clinic.report(results)


if __name__ == "__main__":
    main()
