"""langchain-milvus: metadata in columns, in dynamic fields and in JSON, hybrid search, MMR, filters, updates, async."""

from __future__ import annotations

import asyncio
from typing import Any

import clinic
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_milvus import Milvus
from langchain_milvus.utils.sparse import BaseSparseEmbedding

TOP = 10
COSINE = {"metric_type": "COSINE", "index_type": "FLAT", "params": {}}
TERMS = {"metric_type": "IP", "index_type": "SPARSE_INVERTED_INDEX", "params": {}}


class MiniLMEmbeddings(Embeddings):
    """The packaged embedder in langchain's interface."""

    def __init__(self, embedder: clinic.Embedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.all(texts)

    def embed_query(self, text: str) -> list[float]:
        return self._embedder.embed(text)


class Terms(BaseSparseEmbedding):
    """BM25-like term weights in langchain-milvus' interface."""

    def embed_documents(self, texts: list[str]) -> list[dict[int, float]]:
        return [dict(zip(*clinic.terms(text), strict=True)) for text in texts]

    def embed_query(self, query: str) -> dict[int, float]:
        return dict(zip(*clinic.question_terms(query), strict=True))


def _metadata(entry: clinic.Entry, *, columns: bool) -> dict[str, Any]:
    # A column's type is inferred from the first value, and lists have none that can be.
    return {key: value for key, value in entry.metadata.items() if not (columns and key == "tags")}


def _store(where: clinic.Connection, name: str, embedding: Any, *, columns: bool, **options: Any) -> Milvus:
    documents = [Document(entry.text, metadata=_metadata(entry, columns=columns)) for entry in clinic.ENTRIES]
    given = {"index_params": COSINE, "consistency_level": "Strong", **options}
    return Milvus.from_documents(
        documents,
        embedding,
        ids=[entry.id for entry in clinic.ENTRIES],
        collection_name=name,
        connection_args={"uri": where.milvus},
        drop_old=True,
        **given,
    )


def _ident(document: Document) -> str:
    # A store that keeps metadata in one column does not show primary keys.
    by_text = {entry.text: entry.id for entry in clinic.ENTRIES}
    return str(document.metadata.get("pk") or by_text[document.page_content])


def _scored(found: list[tuple[Document, float]]) -> list[dict[str, Any]]:
    return [clinic.hit(_ident(document), document.page_content, document.metadata, score) for document, score in found]


def _plain(found: list[Document]) -> list[dict[str, Any]]:
    return [clinic.hit(_ident(document), document.page_content, document.metadata) for document in found]


def _expressions() -> dict[str, str]:
    departments = sorted({entry.metadata["department"] for entry in clinic.ENTRIES})
    some = [entry.id for entry in clinic.ENTRIES[:20]]
    return {
        "equal": f'department == "{departments[0]}"',
        "not-equal": f"department != '{departments[0]}'",
        "in": f"department in {departments[:2]}",
        "not-in": f"department not in {departments[:3]}",
        "urgent": "urgent == true",
        "integer": "page == 3",
        "range": "page >= 4 and page < 9",
        "float": "weight > 0.5",
        "prefix": 'written like "2026-03%"',
        "ids": f"pk in {some}",
        "mixed": f'weight > 0.5 and (department == "{departments[2]}" or urgent == true)',
        "not": f'not (diagnosis == "{clinic.ENTRIES[0].metadata["diagnosis"]}")',
    }


def reads(store: Milvus) -> dict[str, Any]:
    """Everything that reads a store of one dense vector."""
    question, expressions = clinic.ASKED[0], _expressions()
    by_vector = store.embeddings.embed_query(question)  # type: ignore[union-attr]
    return {
        "nearest": [_scored(store.similarity_search_with_score(asked, k=TOP)) for asked in clinic.ASKED],
        "filtered": {
            name: _scored(store.similarity_search_with_score(question, k=TOP, expr=given))
            for name, given in expressions.items()
        },
        "by-vector": _scored(store.similarity_search_with_score_by_vector(by_vector, k=TOP)),
        "relevance": _scored(store.similarity_search_with_relevance_scores(question, k=TOP)),
        "mmr": [
            _plain(store.max_marginal_relevance_search(question, k=5, fetch_k=40, lambda_mult=given))
            for given in (1.0, 0.6, 0.0)
        ],
        "pks": {name: sorted(map(str, store.get_pks(given) or ())) for name, given in expressions.items()},
        "metadata": sorted(
            _plain(store.search_by_metadata(expressions["mixed"], limit=100)), key=lambda found: found["id"]
        ),
    }


def retrievers(store: Milvus) -> dict[str, Any]:
    """The three kinds of retriever that langchain makes from a store."""
    kinds: dict[str, dict[str, Any]] = {
        "similarity": {"k": 4, "expr": _expressions()["urgent"]},
        "mmr": {"k": 4, "fetch_k": 30, "lambda_mult": 0.5},
        "similarity_score_threshold": {"k": TOP, "score_threshold": 0.75},
    }
    return {
        kind: _plain(store.as_retriever(search_type=kind, search_kwargs=options).invoke(clinic.ASKED[1]))
        for kind, options in kinds.items()
    }


def hybrid(where: clinic.Connection) -> dict[str, Any]:
    """Dense and sparse vectors in one collection, fused by the server."""
    store = _store(
        where,
        "langchain_hybrid",
        [MiniLMEmbeddings(where.embedder), Terms()],
        columns=True,
        vector_field=["dense", "sparse"],
        index_params=[COSINE, TERMS],
        # By default the framework searches with `drop_ratio_build`, which Milvus Lite refuses.
        search_params=[{"metric_type": "COSINE", "params": {}}, {"metric_type": "IP", "params": {}}],
    )
    given = _expressions()["mixed"]
    rankers: dict[str, dict[str, Any]] = {
        "rrf": {"ranker_type": "rrf", "ranker_params": {"k": 20}},
        "weighted": {"ranker_type": "weighted", "ranker_params": {"weights": [0.7, 0.3]}},
    }

    def ask(text: str, **options: Any) -> list[dict[str, Any]]:
        return _scored(store.similarity_search_with_score(text, k=TOP, fetch_k=20, **options))

    results: dict[str, Any] = {
        name: [ask(asked, **options) for asked in clinic.ASKED] for name, options in rankers.items()
    }
    return results | {"filtered": ask(clinic.ASKED[0], expr=given, **rankers["rrf"])}


async def asynchronous(where: clinic.Connection, name: str) -> dict[str, Any]:
    """The async API, including writes."""
    embedding = MiniLMEmbeddings(where.embedder)
    store = Milvus(
        embedding,
        collection_name=name,
        connection_args={"uri": where.milvus},
        index_params=COSINE,
        consistency_level="Strong",
    )
    first = clinic.ENTRIES[0]
    extra = Document("A parcel of blue envelopes was left at the desk.", metadata=_metadata(first, columns=True))
    ident = "7d0a2f3e-0000-4000-8000-000000000003"
    added = await store.aadd_documents([extra], ids=[ident])
    results: dict[str, Any] = {
        "added": added,
        "found": _scored(await store.asimilarity_search_with_score("blue envelopes", k=1)),
        "filtered": _scored(
            await store.asimilarity_search_with_score(clinic.ASKED[2], k=4, expr=_expressions()["range"])
        ),
        "mmr": _plain(await store.amax_marginal_relevance_search(clinic.ASKED[2], k=4, fetch_k=20)),
        "retriever": _plain(await store.as_retriever(search_kwargs={"k": 3}).ainvoke(clinic.ASKED[3])),
        "pks": sorted(map(str, await store.aget_pks(_expressions()["equal"]) or ())),
        "deleted": await store.adelete([ident]),
    }
    return results | {"after": _scored(await store.asimilarity_search_with_score("blue envelopes", k=1))}


def changes(store: Milvus) -> dict[str, Any]:
    """Upserting and deleting documents, by id and by expression."""
    first, second = clinic.ENTRIES[:2]
    metadata = _metadata(first, columns=True) | {"department": "harbour"}
    changed = Document(page_content="The lighthouse keeper counted eleven ships.", metadata=metadata)
    store.upsert([first.id], [changed])
    results: dict[str, Any] = {
        "found": _scored(store.similarity_search_with_score("lighthouse ships", k=1)),
        "harbour": store.get_pks('department == "harbour"'),
        "deleted": store.delete([second.id]),
        "gone": store.get_pks(f'pk == "{second.id}"'),
        "urgent-deleted": store.delete(expr="urgent == true"),
    }
    return results | {"left": sorted(map(str, store.get_pks('pk != ""') or ()))}


def dynamic(where: clinic.Connection) -> dict[str, Any]:
    """Metadata in dynamic fields, lists included, and in one JSON column."""
    embedding, question = MiniLMEmbeddings(where.embedder), clinic.ASKED[0]
    expressions = _expressions()
    tag = sorted({entry.metadata["department"] for entry in clinic.ENTRIES})[1]
    store = _store(where, "langchain_dynamic", embedding, columns=False, enable_dynamic_field=True)
    names = ("equal", "in", "urgent", "range", "mixed")
    results: dict[str, Any] = {
        name: _scored(store.similarity_search_with_score(question, k=TOP, expr=expressions[name])) for name in names
    }
    results["tags"] = _scored(store.similarity_search_with_score(question, k=TOP, expr=f'json_contains(tags, "{tag}")'))
    boxed = _store(where, "langchain_json", embedding, columns=False, metadata_field="metadata")
    results["json"] = _scored(
        boxed.similarity_search_with_score(question, k=TOP, expr=f'metadata["department"] == "{tag}"')
    )
    results["json-range"] = _scored(
        boxed.similarity_search_with_score(question, k=TOP, expr='metadata["page"] >= 4 and metadata["page"] < 9')
    )
    return results


def metrics(where: clinic.Connection) -> dict[str, Any]:
    """The other metrics."""
    embedding = MiniLMEmbeddings(where.embedder)
    found = {}
    for metric in ("L2", "IP"):
        given = COSINE | {"metric_type": metric}
        store = _store(where, f"langchain_{metric.lower()}", embedding, columns=True, index_params=given)
        found[metric] = _scored(store.similarity_search_with_score(clinic.ASKED[0], k=TOP))
        store.drop()
    return found


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    store = _store(where, "langchain_columns", MiniLMEmbeddings(where.embedder), columns=True)
    results: dict[str, Any] = {
        "reads": reads(store),
        "retrievers": retrievers(store),
        "async": asyncio.run(asynchronous(where, "langchain_columns")),
        "hybrid": hybrid(where) if where.sparse else None,
        "dynamic": dynamic(where),
        "metrics": metrics(where),
        "changes": changes(store),
    }
    clinic.report(results)


if __name__ == "__main__":
    main()
