"""mem0 over VecGuard: memories of two people, added, found, changed and forgotten. All of it offline.

The language model is a STAND-IN of a few lines that calls every sentence of a message a memory; put a real one in its
place. Start `vecguard serve --policy examples/policy.yaml` in another terminal, then run this:

python examples/memory_mem0.py [HOST:PORT]
"""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

# Set before mem0 is imported: nothing is reported to anybody.
os.environ.setdefault("MEM0_TELEMETRY", "False")

from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from mem0 import Memory

from vecguard.demo.embedder import DIMS, MiniLM


class MiniLMEmbeddings(Embeddings):
    """The packaged embedder in langchain's interface, which mem0 takes."""

    def __init__(self) -> None:
        self._model = MiniLM()

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Unit embeddings of 384 numbers."""
        return self._model.embed(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        """The embedding of one text."""
        return self.embed_documents([text])[0]


class SentenceModel(BaseChatModel):
    """A stand-in for a language model: every sentence of the user's new message is a memory."""

    @property
    def _llm_type(self) -> str:
        return "sentences"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        new = str(messages[-1].content).partition("## New Messages")[2].partition("\n## ")[0]
        said = " ".join(re.findall(r"user: (.*)", new))
        sentences = [sentence for sentence in re.split(r"(?<=\.)\s+", said) if sentence]
        memories = {"memory": [{"id": str(number), "text": text} for number, text in enumerate(sentences)]}
        return ChatResult(generations=[ChatGeneration(message=AIMessage(json.dumps(memories)))])


def main(address: str) -> None:
    """Tell mem0 about two people through the proxy, and ask about one."""
    host, _, port = address.rpartition(":")
    memory = Memory.from_config(
        {
            "vector_store": {
                "provider": "qdrant",
                "config": {
                    **{"host": host, "port": int(port)},  # the one line that changes: the address is VecGuard's
                    "collection_name": "mem0-notes",
                    "embedding_model_dims": DIMS,
                },
            },
            "embedder": {"provider": "langchain", "config": {"model": MiniLMEmbeddings()}},
            "llm": {"provider": "langchain", "config": {"model": SentenceModel()}},
            "history_db_path": ":memory:",
        }
    )
    memory.reset()
    told = "I am allergic to penicillin. My daughter Clara plays the cello. I moved to Lisbon in April."
    first, *_ = memory.add(told, user_id="ann")["results"]
    memory.add("I am allergic to nothing. I keep two dogs.", user_id="bob")

    def ask(question: str) -> None:
        print(f"ann, {question}")
        for found in memory.search(question, filters={"user_id": "ann"}, top_k=2)["results"]:
            print(f"  {found['score']:.4f} {found['memory']}")

    ask("which medicine is dangerous?")
    memory.update(first["id"], text="I am allergic to penicillin and to latex.")
    ask("which medicine is dangerous?")
    memory.delete(first["id"])
    print(f"after forgetting: {len(memory.get_all(filters={'user_id': 'ann'})['results'])} memories of ann")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:6333")
