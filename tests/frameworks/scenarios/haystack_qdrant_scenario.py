"""qdrant-haystack: writing policies, filters, statistics over metadata, three retrievers, groups, the async API."""

from __future__ import annotations

import asyncio
from typing import Any

import clinic
from haystack import Document, Pipeline
from haystack.dataclasses.sparse_embedding import SparseEmbedding
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.components.retrievers.qdrant import (
    QdrantEmbeddingRetriever,
    QdrantHybridRetriever,
    QdrantSparseEmbeddingRetriever,
)
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

TOP = 10


def _sparse(pair: tuple[list[int], list[float]]) -> SparseEmbedding:
    return SparseEmbedding(indices=pair[0], values=pair[1])


def _documents(where: clinic.Connection, *, sparse: bool) -> list[Document]:
    embedder = where.embedder
    return [
        Document(
            id=entry.id,
            content=entry.text,
            meta=entry.metadata,
            embedding=embedder.embed(entry.text),
            sparse_embedding=_sparse(clinic.terms(entry.text)) if sparse else None,
        )
        for entry in clinic.ENTRIES
    ]


def _store(where: clinic.Connection, name: str, **options: Any) -> QdrantDocumentStore:
    given = dict(where.options)
    client_kwargs = {"check_compatibility": given.pop("check_compatibility")} if "check_compatibility" in given else {}
    return QdrantDocumentStore(
        index=name,
        embedding_dim=clinic.DIMS,
        recreate_index=True,
        progress_bar=False,
        client_kwargs=client_kwargs,
        **given,
        **options,
    )


def _test(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": f"meta.{field}", "operator": operator, "value": value}


def _filters() -> dict[str, dict[str, Any]]:
    departments = sorted({entry.metadata["department"] for entry in clinic.ENTRIES})
    nested = {"operator": "OR", "conditions": [_test("page", "==", 1), _test("department", "==", departments[0])]}
    return {
        "equal": _test("department", "==", departments[0]),
        "not-equal": _test("department", "!=", departments[0]),
        "in": _test("department", "in", departments[:2]),
        "not-in": _test("department", "not in", departments[:3]),
        "urgent": _test("urgent", "==", True),
        "in-list": _test("tags", "==", departments[1]),
        "range": _test("page", ">=", 7),
        "float": _test("weight", "<", 0.5),
        "dates": _test("written", ">", "2026-06-01T00:00:00+00:00"),
        "not": {"operator": "NOT", "conditions": [_test("department", "==", departments[0])]},
        "nested": {"operator": "AND", "conditions": [_test("urgent", "==", True), nested]},
    }


def _found(documents: list[Document]) -> list[dict[str, Any]]:
    found = [clinic.hit(each.id, each.content or "", each.meta, each.score) for each in documents]
    scored = all("score" in each for each in found)
    return found if scored else sorted(found, key=lambda each: each["id"])


def reads(store: QdrantDocumentStore) -> dict[str, Any]:
    """Filters, counts and statistics: some of these read every document."""
    filters = _filters()
    return {
        "count": store.count_documents(),
        "filter": {name: _found(store.filter_documents(given)) for name, given in filters.items()},
        "counts": {name: store.count_documents_by_filter(given) for name, given in filters.items()},
        "everything": len(store.filter_documents()),
        "fields": store.get_metadata_fields_info(),
        "min-max": [store.get_metadata_field_min_max(field) for field in ("page", "weight", "patient", "nowhere")],
        "unique": store.count_unique_metadata_by_filter(filters["equal"], ["patient", "diagnosis", "urgent"]),
        "values": store.get_metadata_field_unique_values("patient", search_term="an", from_=2, size=5),
        "by-id": _found(store.get_documents_by_id([entry.id for entry in clinic.ENTRIES[:3]])),
    }


def retrievers(where: clinic.Connection, store: QdrantDocumentStore, dense: QdrantDocumentStore) -> dict[str, Any]:
    """The three retrievers, with filters, thresholds, scaled scores, vectors, groups, and fusion weights."""
    filters, question = _filters(), clinic.ASKED[0]
    embedder = where.embedder
    by_embedding = QdrantEmbeddingRetriever(store, top_k=TOP)
    by_terms = QdrantSparseEmbeddingRetriever(store, top_k=TOP)
    both = QdrantHybridRetriever(store, top_k=TOP)
    embedding, sparse = embedder.embed(question), _sparse(clinic.question_terms(question))
    pair = {"query_embedding": embedding, "query_sparse_embedding": sparse}
    pipeline = Pipeline()
    pipeline.add_component("retriever", by_embedding)
    piped = pipeline.run({"retriever": {"query_embedding": embedding, "top_k": 3}})["retriever"]["documents"]

    def run(retriever: Any, **options: Any) -> list[dict[str, Any]]:
        return _found(retriever.run(**options)["documents"])

    with_vector = by_embedding.run(query_embedding=embedding, top_k=1, return_embedding=True)["documents"][0]
    return {
        "nearest": [run(by_embedding, query_embedding=embedder.embed(asked)) for asked in clinic.ASKED],
        "unnamed": run(QdrantEmbeddingRetriever(dense, top_k=TOP), query_embedding=embedding),
        "filtered": {
            name: run(by_embedding, query_embedding=embedding, filters=given) for name, given in filters.items()
        },
        "scaled": run(by_embedding, query_embedding=embedding, scale_score=True),
        "threshold": run(by_embedding, query_embedding=embedding, score_threshold=0.5),
        "groups": run(by_embedding, query_embedding=embedding, group_by="meta.department", group_size=2, top_k=4),
        "vector": with_vector.embedding,
        "sparse": run(by_terms, query_sparse_embedding=sparse),
        "sparse-groups": run(by_terms, query_sparse_embedding=sparse, group_by="meta.diagnosis", group_size=1, top_k=4),
        "hybrid": run(both, **pair),
        "hybrid-filtered": run(both, **pair, filters=filters["nested"]),
        # Each round of a grouped query ranks anew, so that reciprocal ranks tie and any order of the groups is right.
        "unordered-hybrid-groups": run(both, **pair, group_by="meta.department", group_size=2, top_k=3),
        "hybrid-weights": run(QdrantHybridRetriever(store, top_k=TOP, rrf_k=20, rrf_weights=[3.0, 1.0]), **pair),
        "piped": _found(piped),
    }


def changes(where: clinic.Connection, store: QdrantDocumentStore) -> dict[str, Any]:
    """Duplicates under each policy, updates and deletions by filter and by id."""
    documents = _documents(where, sparse=False)
    other = Document(id=clinic.ENTRIES[0].id, content="Replaced.", meta={"page": 99}, embedding=documents[0].embedding)
    filters = _filters()
    results: dict[str, Any] = {
        "fail": clinic.refused(store.write_documents, documents[:2]),
        "skip": store.write_documents([other], DuplicatePolicy.SKIP),
        "skipped": _found(store.get_documents_by_id([other.id])),
        "overwrite": store.write_documents([other], DuplicatePolicy.OVERWRITE),
        "overwritten": _found(store.get_documents_by_id([other.id])),
        "update": store.update_by_filter(filters["urgent"], {"department": "triage", "checked": "by Ann"}),
        "updated": _found(store.filter_documents(_test("department", "==", "triage"))),
        "delete-filter": store.delete_by_filter(_test("page", ">=", 9)),
    }
    ranked = QdrantEmbeddingRetriever(store, top_k=TOP).run(query_embedding=documents[3].embedding)["documents"]
    store.delete_documents([documents[1].id])
    results |= {"ranked-after": _found(ranked), "left": _found(store.filter_documents())}
    store.delete_all_documents()
    results["emptied"] = store.count_documents()
    store.write_documents(documents[:3])
    store.delete_all_documents(recreate_index=True)
    results["recreated"] = store.count_documents()
    store.write_documents(documents[:3])
    return results | {"again": _found(store.filter_documents())}


async def asynchronous(where: clinic.Connection) -> dict[str, Any]:
    """The same over the asynchronous client."""
    store = _store(where, "haystack-async", use_sparse_embeddings=True, sparse_idf=True)
    documents, filters = _documents(where, sparse=True)[:50], _filters()
    pair = {
        "query_embedding": where.embedder.embed(clinic.ASKED[1]),
        "query_sparse_embedding": _sparse(clinic.question_terms(clinic.ASKED[1])),
    }
    written = await store.write_documents_async(documents)
    hybrid = await QdrantHybridRetriever(store, top_k=5).run_async(**pair)
    results = {
        "written": written,
        "hybrid": _found(hybrid["documents"]),
        "filter": _found(await store.filter_documents_async(filters["in"])),
        "updated": await store.update_by_filter_async(filters["urgent"], {"checked": "yes"}),
        "fields": await store.get_metadata_fields_info_async(),
        "min-max": await store.get_metadata_field_min_max_async("page"),
        "deleted": await store.delete_by_filter_async(filters["equal"]),
        "count": await store.count_documents_async(),
    }
    await store.close_async()
    return results


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    dense = _store(where, "haystack-dense", return_embedding=False)
    indexed = [{"field_name": "meta.department", "field_schema": "keyword"}]
    store = _store(where, "haystack-both", use_sparse_embeddings=True, sparse_idf=True, payload_fields_to_index=indexed)
    written = [dense.write_documents(_documents(where, sparse=False))]
    written.append(store.write_documents(_documents(where, sparse=True), DuplicatePolicy.OVERWRITE))
    results = {
        "written": written,
        "dense": reads(dense),
        "indexed-fields": store.get_metadata_fields_info(),
        "retrievers": retrievers(where, store, dense),
        "changes": changes(where, dense),
        "async": asyncio.run(asynchronous(where)),
    }
    clinic.report(results)


if __name__ == "__main__":
    main()
