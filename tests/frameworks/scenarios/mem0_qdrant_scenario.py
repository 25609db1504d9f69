"""mem0: adding with and without a language model, searching, updating, deleting, history, filters, keyword search.

mem0 takes its language model and embedder through langchain's interfaces. The language model here is a stand-in that
follows rules: it names every sentence of the user's message a memory. `fastembed`, whose BM25 model would be
downloaded, is stood in for by term weights of the same form.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import types
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import clinic
import numpy as np
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from mem0 import AsyncMemory, Memory
from qdrant_client import QdrantClient

NEW_MESSAGES = re.compile(r"## New Messages\s*(.*?)\n## ", re.DOTALL)
PEOPLE = ("ann", "bob")
FOLLOWED = (
    "I am allergic to penicillin. My daughter Clara plays the cello.",
    "I moved to Lisbon in April. I never eat shellfish.",
)


class MiniLMEmbeddings(Embeddings):
    """The packaged embedder in langchain's interface, which mem0 takes."""

    def __init__(self, embedder: clinic.Embedder) -> None:
        self._embedder = embedder

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.all(texts)

    def embed_query(self, text: str) -> list[float]:
        return self._embedder.embed(text)


class SentenceModel(BaseChatModel):
    """A stand-in for a language model: every sentence of the user's new message is a memory."""

    @property
    def _llm_type(self) -> str:
        return "sentences"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        prompt = str(messages[-1].content)
        found = NEW_MESSAGES.search(prompt)
        assert found is not None, prompt
        said = " ".join(re.findall(r"user: (.*)", found.group(1)))
        sentences = [sentence for sentence in re.split(r"(?<=\.)\s+", said.strip()) if sentence]
        answer = {"memory": [{"id": str(i), "text": text} for i, text in enumerate(sentences)]}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(answer)))])


class _Sparse:
    def __init__(self, indices: list[int], values: list[float]) -> None:
        self.indices, self.values = np.array(indices), np.array(values)


class _SparseTextEmbedding:
    def __init__(self, model_name: str) -> None:
        assert model_name == "Qdrant/bm25"

    def embed(self, texts: list[str]) -> list[_Sparse]:
        return [_Sparse(*clinic.terms(text)) for text in texts]


def _configuration(where: clinic.Connection, name: str, folder: Path) -> dict[str, Any]:
    # mem0 itself offers REST alone; for gRPC a client of the application's is handed to it.
    if where.rest is None:
        reached: dict[str, Any] = {"client": QdrantClient(**where.options)}
    else:
        reached = {"host": "127.0.0.1", "port": where.rest}
    return {
        "vector_store": {
            "provider": "qdrant",
            "config": {"collection_name": name, "embedding_model_dims": clinic.DIMS, **reached},
        },
        "embedder": {"provider": "langchain", "config": {"model": MiniLMEmbeddings(where.embedder)}},
        "llm": {"provider": "langchain", "config": {"model": SentenceModel()}},
        "history_db_path": str(folder / f"{name}.db"),
    }


def _memory(where: clinic.Connection, name: str, folder: Path) -> Memory:
    client = QdrantClient(**where.options)
    for collection in (name, f"{name}_entities"):
        if client.collection_exists(collection):
            client.delete_collection(collection)
    client.close()
    return Memory.from_config(_configuration(where, name, folder))


def _found(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Memories without their random ids and times."""
    kept = ("memory", "hash", "score", "user_id", "agent_id", "run_id", "actor_id", "role", "metadata")
    memories = [{"id": each["hash"], **{key: each[key] for key in kept if key in each}} for each in found["results"]]
    return memories if all("score" in each for each in memories) else sorted(memories, key=lambda each: each["id"])


def _events(history: list[dict[str, Any]]) -> list[list[Any]]:
    return [[each["event"], each["old_memory"], each["new_memory"], each["is_deleted"]] for each in history]


def _filters() -> dict[str, dict[str, Any]]:
    department = clinic.ENTRIES[0].metadata["department"]
    return {
        "user": {"user_id": "ann"},
        "agent": {"agent_id": "desk"},
        "both": {"user_id": "bob", "agent_id": "desk"},
        "equal": {"user_id": "ann", "department": department},
        "not-equal": {"user_id": "ann", "department": {"ne": department}},
        "in": {"user_id": "ann", "department": {"in": [department, "cardiology"]}},
        "range": {"user_id": "ann", "page": {"gte": 3, "lt": 8}},
        "dates": {"user_id": "ann", "written": {"gt": "2026-06-01T00:00:00Z"}},
        "or": {"user_id": "ann", "OR": [{"department": department}, {"page": {"gt": 9}}]},
        "not": {"user_id": "ann", "NOT": [{"department": department}]},
        "any-value": {"user_id": "ann", "department": "*"},
    }


def searches(memory: Memory) -> dict[str, Any]:
    """Search and listing with mem0's filters; scores are mem0's own blend of cosine and keyword scores."""
    question = clinic.ASKED[0]
    store = memory.vector_store
    return {
        "asked": [_found(memory.search(asked, filters={"user_id": "ann"}, top_k=10)) for asked in clinic.ASKED],
        "filtered": {
            name: _found(memory.search(question, filters=given, top_k=5, threshold=0.0))
            for name, given in _filters().items()
        },
        "threshold": _found(memory.search(question, filters={"user_id": "ann"}, threshold=0.3, top_k=100)),
        "explained": memory.search(question, filters={"user_id": "ann"}, top_k=1, explain=True)["results"][0][
            "score_details"
        ],
        "all": _found(memory.get_all(filters={"user_id": "bob"}, top_k=500)),
        "keyword": [
            {"id": hit.payload["hash"], "score": hit.score}
            for hit in store.keyword_search(question, top_k=5, filters={"user_id": "ann"})
        ],
        "batch": [
            [{"id": hit.payload["hash"], "score": hit.score} for hit in hits]
            for hits in store.search_batch(
                list(clinic.ASKED), memory.embedding_model.embed_batch(list(clinic.ASKED)), 3, {"agent_id": "desk"}
            )
        ],
        "indexes": sorted(store.col_info().payload_schema),
    }


def changes(memory: Memory) -> dict[str, Any]:
    """Extraction by the stand-in model, update, delete, history, partial updates of the store, deletion by user."""
    scope = {"user_id": "eve"}
    added = [memory.add(text, user_id="eve", metadata={"department": "intake"})["results"] for text in FOLLOWED]
    ids = [each["id"] for part in added for each in part]
    repeated = memory.add(FOLLOWED[0], user_id="eve")["results"]
    memory.update(ids[0], text="I am allergic to penicillin and latex.", metadata={"page": 7})
    memory.delete(ids[1])
    results: dict[str, Any] = {
        "added": [[each["memory"], each["event"]] for part in added for each in part],
        "repeated": repeated,
        "updated": _found({"results": [memory.get(ids[0])]}),
        "deleted": memory.get(ids[1]),
        "asked": _found(memory.search("which medicines are dangerous?", filters=scope)),
        "history": [_events(memory.history(each)) for each in ids],
    }
    store = memory.vector_store
    store.update(ids[2], payload={"data": "I moved to Porto in May.", "user_id": "eve", "hash": "moved"})
    store.update(ids[3], vector=memory.embedding_model.embed("a fish restaurant"))
    results["payload-only"] = store.get(ids[2]).payload["data"]
    results["vector-only"] = _found(memory.search("a fish restaurant", filters=scope, top_k=1))
    results["entities"] = entities(memory, ids, scope)
    memory.delete_all(user_id="eve")
    return results | {"left": memory.get_all(filters=scope)["results"]}


def entities(memory: Memory, ids: list[str], scope: dict[str, Any]) -> list[list[Any]]:
    """The second collection, which links memories by what they name.

    mem0 fills it from a spaCy model that would be downloaded, so its own steps are called here in that model's place.
    """

    def linked() -> list[Any]:
        points, _ = memory.entity_store.list(scope)
        return sorted([p.payload["data"], [ids.index(i) for i in p.payload["linked_memory_ids"]]] for p in points)

    for name, ident in (("Clara", ids[2]), ("Lisbon", ids[2]), ("clara", ids[3])):
        memory._upsert_entity(name, "PROPER", ident, scope)
    before = linked()
    memory._remove_memory_from_entity_store(ids[2], scope)
    return [before, linked()]


async def asynchronous(where: clinic.Connection, folder: Path) -> dict[str, Any]:
    """mem0's asynchronous memory."""
    _memory(where, "mem0-async", folder).close()
    memory = AsyncMemory.from_config(_configuration(where, "mem0-async", folder))
    added = await memory.add(FOLLOWED[1], user_id="ann", agent_id="desk")
    ident = added["results"][0]["id"]
    await memory.update(ident, "I moved to Faro in June.")
    results = {
        "found": _found(await memory.search("where does she live?", filters={"agent_id": "desk"})),
        "all": _found(await memory.get_all(filters={"user_id": "ann"})),
        "history": _events(await memory.history(ident)),
    }
    await memory.delete(ident)
    return results | {"left": _found(await memory.get_all(filters={"user_id": "ann"}))}


def main() -> None:
    """Run all and report."""
    where = clinic.connection()
    module = types.ModuleType("fastembed")
    module.SparseTextEmbedding = _SparseTextEmbedding  # type: ignore[attr-defined]
    sys.modules["fastembed"] = module
    with TemporaryDirectory() as home:
        folder = Path(home)
        memory = _memory(where, "mem0-notes", folder)
        for number, entry in enumerate(clinic.ENTRIES):
            said = [{"role": "user", "content": entry.text}]
            agent = {"agent_id": "desk"} if number % 4 == 0 else {}
            memory.add(said, user_id=PEOPLE[number % 2], metadata=entry.metadata, infer=False, **agent)
        results = {
            "searches": searches(memory),
            "changes": changes(memory),
            "async": asyncio.run(asynchronous(where, folder)),
        }
        reset = _memory(where, "mem0-reset", folder)
        reset.add("A note.", user_id="ann", infer=False)
        reset.reset()
        results["reset"] = reset.get_all(filters={"user_id": "ann"})["results"]
    clinic.report(results)


if __name__ == "__main__":
    main()
