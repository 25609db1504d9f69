"""A policy that declares no field, over Milvus: what langchain still does, and the words of what it is refused."""

from __future__ import annotations

from typing import Any

import clinic
import langchain_milvus_scenario as langchain
from langchain_core.documents import Document
from langchain_milvus import BM25BuiltInFunction, Milvus

QUESTION = clinic.ASKED[0]


def full_text(where: clinic.Connection) -> str:
    """BM25 by the server itself would have to read the texts."""
    return clinic.refused(
        Milvus.from_documents,
        [Document("A text.")],
        langchain.MiniLMEmbeddings(where.embedder),
        builtin_function=BM25BuiltInFunction(),
        vector_field=["dense", "sparse"],
        collection_name="sealed_full_text",
        connection_args={"uri": where.milvus},
        drop_old=True,
    )


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    store = langchain._store(where, "sealed_langchain", langchain.MiniLMEmbeddings(where.embedder), columns=True)
    expressions = langchain._expressions()
    before = len(store.get_pks('pk != ""') or ())
    results: dict[str, Any] = {
        "found": langchain._scored(store.similarity_search_with_score(QUESTION, k=10)),
        "ids": len(store.similarity_search(QUESTION, k=30, expr=expressions["ids"])),
        "equal": clinic.refused(store.similarity_search, QUESTION, expr=expressions["equal"]),
        "range": clinic.refused(store.similarity_search, QUESTION, expr=expressions["range"]),
        "query": clinic.refused(store.get_pks, expressions["in"]),
        # The framework reports a failed deletion by its value.
        "delete": store.delete(expr=expressions["urgent"]),
        "left": [before, len(store.get_pks('pk != ""') or ())],
        "full-text": full_text(where),
    }
    clinic.report(results)


if __name__ == "__main__":
    main()
