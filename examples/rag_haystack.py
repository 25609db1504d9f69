"""haystack over VecGuard: a pipeline that embeds and retrieves, filters, metadata statistics. All of it offline.

Start `vecguard serve --policy examples/policy.yaml` in another terminal, then run this:

python examples/rag_haystack.py [URL]
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace

# Set before haystack is imported: nothing is reported to anybody.
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")

from haystack import Document, Pipeline, component
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from vecguard.demo.embedder import DIMS, MiniLM
from vecguard.demo.notes import make_notes

QUESTION = "Who is afraid of losing the job?"


@component
class MiniLMTextEmbedder:
    """The packaged embedder in haystack's interface. Any other text embedder works as well."""

    def __init__(self) -> None:
        self.model = MiniLM()

    @component.output_types(embedding=list[float])
    def run(self, text: str) -> dict[str, list[float]]:
        """The unit embedding of a question, 384 numbers."""
        return {"embedding": self.model.embed([text])[0].tolist()}


def main(url: str) -> None:
    """Write sixty synthetic notes through the proxy, and find some again."""
    store = QdrantDocumentStore(
        url=url,  # the one line that changes: the address is VecGuard's
        index="haystack-notes",
        embedding_dim=DIMS,
        recreate_index=True,
        progress_bar=False,
    )
    embedder = MiniLMTextEmbedder()
    notes = make_notes(60, seed=7)
    documents = [Document(content=note.text, meta={"department": note.department}) for note in notes]
    embeddings = embedder.model.embed([note.text for note in notes]).tolist()
    pairs = zip(documents, embeddings, strict=True)
    store.write_documents([replace(document, embedding=embedding) for document, embedding in pairs])

    pipeline = Pipeline()
    pipeline.add_component("embedder", embedder)
    pipeline.add_component("retriever", QdrantEmbeddingRetriever(store, top_k=3))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")

    print(f"search: {QUESTION}")
    for document in pipeline.run({"embedder": {"text": QUESTION}})["retriever"]["documents"]:
        print(f"  {document.score:.4f} {document.content}")

    department = notes[0].department
    only = {"field": "meta.department", "operator": "==", "value": department}
    print(f"only {department}, {store.count_documents_by_filter(only)} notes:")
    for document in pipeline.run({"embedder": {"text": QUESTION}, "retriever": {"filters": only}})["retriever"][
        "documents"
    ]:
        print(f"  {document.score:.4f} {document.content}")

    departments, count = store.get_metadata_field_unique_values("department", size=4)
    print(f"{count} departments, the first of them: {', '.join(departments)}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:6333")
