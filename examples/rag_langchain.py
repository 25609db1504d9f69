"""langchain over VecGuard: dense and hybrid search, filters on metadata, a retriever with MMR. All of it offline.

Start `vecguard serve --policy examples/policy.yaml` in another terminal, then run this:

python examples/rag_langchain.py [URL]
"""

from __future__ import annotations

import re
import sys
import zlib
from collections import Counter

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_qdrant import QdrantVectorStore, RetrievalMode
from langchain_qdrant.sparse_embeddings import SparseEmbeddings, SparseVector
from qdrant_client import models

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


class WordCounts(SparseEmbeddings):
    """Each word's number of occurrences: small enough for an example, where fastembed would download a model."""

    def embed_documents(self, texts: list[str]) -> list[SparseVector]:
        """One sparse vector a text."""
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> SparseVector:
        """The words' CRC-32 as indices, their counts as values."""
        counts = Counter(zlib.crc32(word.encode()) for word in re.findall(r"\w+", text.lower()))
        return SparseVector(indices=list(counts), values=[float(count) for count in counts.values()])


def main(url: str) -> None:
    """Store sixty synthetic notes through the proxy, and find some again."""
    documents = [
        Document(note.text, metadata={"department": note.department, "year": 2020 + note.id % 6})
        for note in make_notes(60, seed=7)
    ]
    store = QdrantVectorStore.from_documents(
        documents,
        MiniLMEmbeddings(),
        sparse_embedding=WordCounts(),
        retrieval_mode=RetrievalMode.HYBRID,
        # Rare words weigh more; the counts behind that are kept over permuted indices.
        sparse_vector_params={"modifier": models.Modifier.IDF},
        collection_name="langchain-notes",
        force_recreate=True,
        url=url,  # the one line that changes: the address is VecGuard's
    )
    print(f"hybrid search: {QUESTION}")
    for document, score in store.similarity_search_with_score(QUESTION, k=3):
        print(f"  {score:.4f} {document.page_content}")

    department = documents[0].metadata["department"]
    recent = models.FieldCondition(key="metadata.year", range=models.Range(gte=2022))
    here = models.FieldCondition(key="metadata.department", match=models.MatchValue(value=department))
    print(f"only {department}, since 2022:")
    for document in store.similarity_search(QUESTION, k=3, filter=models.Filter(must=[here, recent])):
        print(f"  {document.metadata['year']} {document.page_content}")

    print("a retriever with MMR, for answers that differ:")
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 3, "fetch_k": 20})
    for document in retriever.invoke(QUESTION):
        print(f"  {document.page_content}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6333")
