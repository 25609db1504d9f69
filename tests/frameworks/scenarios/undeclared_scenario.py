"""What VecGuard refuses a framework, and how it says so: undeclared fields, vectors that cannot be protected."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import clinic
import haystack_qdrant_scenario as haystack
import langchain_qdrant_scenario as langchain
import llama_index_qdrant_scenario as llama_index
import mem0_qdrant_scenario as mem0
from langchain_qdrant import RetrievalMode
from llama_index.core import VectorStoreIndex
from qdrant_client import QdrantClient, models

QUESTION = clinic.ASKED[0]


def over_langchain(where: clinic.Connection) -> dict[str, Any]:
    """Search works, as do conditions that read no value."""
    store = langchain._store(where, "sealed-langchain", RetrievalMode.DENSE)
    filters = langchain._filters()
    return {
        "found": langchain._scored(store.similarity_search_with_score(QUESTION, k=10)),
        "ids": len(store.similarity_search(QUESTION, k=30, filter=filters["ids"])),
        "equal": clinic.refused(store.similarity_search, QUESTION, filter=filters["equal"]),
        "range": clinic.refused(store.similarity_search, QUESTION, filter=filters["range"]),
    }


def unprotectable(where: clinic.Connection) -> dict[str, str]:
    """Declarations whose vectors would not survive a rotation with noise."""
    client = QdrantClient(**where.options)
    manhattan = models.VectorParams(size=clinic.DIMS, distance=models.Distance.MANHATTAN)
    store = llama_index._fresh(client, "sealed-manhattan", dense_config=manhattan, index_doc_id=False)
    bytes_ = {"vector_params": {"datatype": models.Datatype.UINT8}}
    return {
        "bytes": clinic.refused(langchain._store, where, "sealed-bytes", RetrievalMode.DENSE, **bytes_),
        "manhattan": clinic.refused(llama_index._index, store, llama_index.MiniLMEmbedding(where.embedder)),
    }


def over_llama_index(where: clinic.Connection) -> dict[str, Any]:
    """llama-index indexes `doc_id` when it makes a collection, unless told not to."""
    embedding, client = llama_index.MiniLMEmbedding(where.embedder), QdrantClient(**where.options)
    refused = clinic.refused(llama_index._index, llama_index._fresh(client, "sealed-llama"), embedding)
    store = llama_index._fresh(client, "sealed-llama-unindexed", index_doc_id=False)
    index: VectorStoreIndex = llama_index._index(store, embedding)
    return {
        "made": refused,
        "found": llama_index._found(index.as_retriever(similarity_top_k=10).retrieve(QUESTION)),
        "deleted": clinic.refused(index.delete_ref_doc, "document-1"),
    }


def over_haystack(where: clinic.Connection) -> dict[str, Any]:
    """Whatever haystack reads and counts by itself works."""
    store = haystack._store(where, "sealed-haystack")
    store.write_documents(haystack._documents(where, sparse=False))
    return {
        "count": store.count_documents(),
        "bounds": store.get_metadata_field_min_max("page"),
        "filter": clinic.refused(store.filter_documents, haystack._filters()["equal"]),
        "delete": clinic.refused(store.delete_by_filter, haystack._filters()["equal"]),
        "left": store.count_documents(),
    }


def over_mem0(where: clinic.Connection, folder: Path) -> dict[str, Any]:
    """mem0 cannot tell its users apart: it is refused, not answered with other people's memories."""
    memory = mem0._memory(where, "sealed-mem0", folder)
    memory.add("I like tea.", user_id="ann", infer=False)
    return {
        "search": clinic.refused(memory.search, "tea", filters={"user_id": "ann"}),
        "all": clinic.refused(memory.get_all, filters={"user_id": "bob"}),
    }


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    results: dict[str, Any] = {
        "langchain": over_langchain(where),
        "llama-index": over_llama_index(where),
        "haystack": over_haystack(where),
        "unprotectable": unprotectable(where),
    }
    with TemporaryDirectory() as folder:
        results["mem0"] = over_mem0(where, Path(folder))
    clinic.report(results)


if __name__ == "__main__":
    main()
