"""langchain over VecGuard before Milvus: search, filters on metadata, a retriever with MMR. All of it offline.

Start `vecguard serve --policy examples/policy.yaml --upstream embedded-milvus:vecguard-milvus` in another terminal (or
`--upstream milvus://HOST:PORT` for a Milvus of yours), then run this:

python examples/rag_langchain_milvus.py [URI]
"""

from __future__ import annotations

import sys

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_milvus import Milvus

from vecguard.demo.embedder import MiniLM
from vecguard.demo.notes import make_notes

QUESTION = "Who is afraid of losing the job?"


class MiniLMEmbeddings(Embeddings):
    """The packaged embedder in langchain's interface. Any other `Embeddings` works as well."""

    def __init__(self) -> None:
        self._model = MiniLM()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit embeddings of 384 numbers."""
        return self._model.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        """The embedding of one question."""
        return self.embed_documents([text])[0]


def main(uri: str) -> None:
    """Store sixty synthetic notes through the proxy, and find some again."""
    documents = [
        Document(note.text, metadata={"department": note.department, "year": 2020 + note.id % 6})
        for note in make_notes(60, seed=7)
    ]
    store = Milvus.from_documents(
        documents,
        MiniLMEmbeddings(),
        connection_args={"uri": uri},  # the one line that changes: the address is VecGuard's
        collection_name="langchain_notes",
        index_params={"metric_type": "COSINE", "index_type": "AUTOINDEX", "params": {}},
        consistency_level="Strong",
        auto_id=True,
        drop_old=True,
    )
    print(f"search: {QUESTION}")
    for document, score in store.similarity_search_with_score(QUESTION, k=3):
        print(f"  {score:.4f} {document.page_content}")

    department = documents[0].metadata["department"]
    print(f"only {department}, since 2022:")
    for document in store.similarity_search(QUESTION, k=3, expr=f'department == "{department}" and year >= 2022'):
        print(f"  {document.metadata['year']} {document.page_content}")

    print("a retriever with MMR, for answers that differ:")
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "fetch_k": 20})
    for document in retriever.invoke(QUESTION):
        print(f"  {document.page_content}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:19530")
