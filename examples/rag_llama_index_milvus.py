"""llama-index over VecGuard before Milvus: an index, a retriever with filters, deleting a document. All of it offline.

Its store wants a pymilvus below 3, so it has an environment of its own (`make .venv-pymilvus2`). Start
`vecguard serve --policy examples/policy.yaml --upstream embedded-milvus:vecguard-milvus` in another terminal (or
`--upstream milvus://HOST:PORT` for a Milvus of yours), then run this:

python examples/rag_llama_index_milvus.py [URI]
"""

from __future__ import annotations

import sys

from llama_index.core import Document, StorageContext, VectorStoreIndex
from llama_index.core.embeddings import BaseEmbedding
from llama_index.core.vector_stores import MetadataFilter, MetadataFilters
from llama_index.vector_stores.milvus import MilvusVectorStore

from vecguard.demo.embedder import DIMS, MiniLM
from vecguard.demo.notes import make_notes

QUESTION = "Who is afraid of losing the job?"


class MiniLMEmbedding(BaseEmbedding):
    """The packaged embedder in llama-index's interface. Any other `BaseEmbedding` works as well."""

    _model: MiniLM

    def __init__(self) -> None:
        super().__init__(model_name="all-MiniLM-L6-v2")
        self._model = MiniLM()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._model.embed(texts).tolist()

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


def main(uri: str) -> None:
    """Index sixty synthetic notes through the proxy, find some again, and delete one."""
    documents = [
        Document(
            text=note.text,
            doc_id=f"note-{note.id}",
            metadata={"department": note.department},
            excluded_embed_metadata_keys=["department"],
        )
        for note in make_notes(60, seed=7)
    ]
    store = MilvusVectorStore(
        uri=uri,  # the one line that changes: the address is VecGuard's
        collection_name="llama_notes",
        dim=DIMS,
        similarity_metric="COSINE",
        consistency_level="Strong",
        overwrite=True,
        use_async_client=False,
    )
    context = StorageContext.from_defaults(vector_store=store)
    index = VectorStoreIndex.from_documents(documents, storage_context=context, embed_model=MiniLMEmbedding())

    print(f"search: {QUESTION}")
    found = index.as_retriever(similarity_top_k=3).retrieve(QUESTION)
    for node in found:
        print(f"  {node.score:.4f} {node.get_content()}")

    department = documents[0].metadata["department"]
    filters = MetadataFilters(filters=[MetadataFilter(key="department", value=department)])
    print(f"only {department}:")
    for node in index.as_retriever(similarity_top_k=3, filters=filters).retrieve(QUESTION):
        print(f"  {node.score:.4f} {node.get_content()}")

    index.delete_ref_doc(found[0].node.ref_doc_id)
    left = store.client.query("llama_notes", filter='id != ""', output_fields=["count(*)"])[0]["count(*)"]
    print(f"deleted {found[0].node.ref_doc_id}: {left} notes are left")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:19530")
