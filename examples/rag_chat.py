"""A small retrieval chat over your own text files, or over bundled synthetic notes. Offline.

There is NO language model here: an answer is the sentence of the retrieved passages that is closest to the question,
and the passages are shown as its sources. Put a model behind `answer` to have it write.

Start `vecguard serve` in another terminal (the default policy will do), then for example:

python examples/rag_chat.py                                     # chat about the bundled notes
python examples/rag_chat.py --texts notes/ --url http://127.0.0.1:6333
python examples/rag_chat.py --ask "Who is afraid of losing the job?"
"""

from __future__ import annotations

import argparse
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qdrant_client import QdrantClient, models

from vecguard.demo.embedder import DIMS, MiniLM
from vecguard.demo.notes import make_notes

COLLECTION = "chat-passages"
WORDS = 120
"""Words of one passage: what the embedder reads at once."""
BATCH = 64
SOURCES = 3
NAMESPACE = uuid.UUID("6c3f3f1e-6f0b-4c39-9a35-0a7c2f2f8f5b")


@dataclass(frozen=True)
class Passage:
    """A piece of a text, and where it is from."""

    text: str
    source: str


def passages_of(folder: Path) -> list[Passage]:
    """Every .txt and .md file below a folder, cut at paragraphs into passages of about 120 words."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.suffix in (".txt", ".md")):
        text = path.read_text(encoding="utf-8", errors="replace")
        pieces = cut(re.split(r"\n\s*\n", text))
        found += [Passage(piece, f"{path.relative_to(folder)}, passage {i}") for i, piece in enumerate(pieces, 1)]
    return found


def cut(paragraphs: Iterable[str]) -> list[str]:
    """Paragraphs, one a line, joined while they fit into one passage; longer ones split."""
    passages: list[list[str]] = []
    room = 0
    for paragraph in paragraphs:
        words = paragraph.split()
        for first in range(0, len(words), WORDS):
            part = words[first : first + WORDS]
            if len(part) > room:
                passages.append([])
                room = WORDS
            passages[-1].append(" ".join(part))
            room -= len(part)
    return ["\n".join(lines) for lines in passages]


def bundled() -> list[Passage]:
    """Synthetic clinic notes; no real person occurs."""
    return [Passage(note.text, f"note {note.id}, {note.department}") for note in make_notes(200, seed=7)]


class Chat:
    """Stores passages, and answers from them."""

    def __init__(self, url: str) -> None:
        self._model = MiniLM()
        self._client = QdrantClient(url=url)  # the one line that changes: the address is VecGuard's

    def store(self, passages: list[Passage]) -> None:
        """Make the collection anew with these passages."""
        self._client.delete_collection(COLLECTION)
        self._client.create_collection(
            COLLECTION, vectors_config=models.VectorParams(size=DIMS, distance=models.Distance.COSINE)
        )
        for first in range(0, len(passages), BATCH):
            batch = passages[first : first + BATCH]
            embeddings = self._model.embed([passage.text for passage in batch])
            self._client.upsert(
                COLLECTION,
                [
                    models.PointStruct(
                        id=str(uuid.uuid5(NAMESPACE, passage.source)),
                        vector=embedding.tolist(),
                        payload={"text": passage.text, "source": passage.source},
                    )
                    for passage, embedding in zip(batch, embeddings, strict=True)
                ],
            )

    def answer(self, question: str) -> tuple[str, list[models.ScoredPoint]]:
        """The sentence closest to the question among the best passages, and those passages."""
        asked = self._model.embed([question])[0]
        found = self._client.query_points(COLLECTION, query=asked.tolist(), limit=SOURCES).points
        texts = [str(hit.payload["text"]) for hit in found if hit.payload]
        sentences = [sentence for text in texts for sentence in re.split(r"(?<=[.!?])\s+|\n", text) if sentence]
        if not sentences:
            return "I have no text to answer from.", []
        closest = int(np.argmax(self._model.embed(sentences) @ asked))
        return sentences[closest], found


def show(chat: Chat, question: str) -> None:
    """Print an answer and its sources."""
    sentence, sources = chat.answer(question)
    print(f"> {question}\n{sentence}")
    for number, hit in enumerate(sources, 1):
        text = " ".join(hit.payload["text"].split())
        print(f"  [{number}] {hit.score:.3f} {hit.payload['source']}: {text}")


def main() -> None:
    """Store the texts, then answer the given questions, or chat until an empty line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:6333", help="VecGuard's REST address")
    parser.add_argument("--texts", type=Path, help="folder of .txt and .md files; without it the bundled notes")
    parser.add_argument("--ask", action="append", default=[], help="a question; may be given more than once")
    given = parser.parse_args()
    passages = passages_of(given.texts) if given.texts else bundled()
    if not passages:
        parser.error(f"{given.texts} holds no .txt or .md files with text in them")
    chat = Chat(given.url)
    chat.store(passages)
    print(f"{len(passages)} passages are stored. Answers are quoted from them: no language model is at work.")
    for question in given.ask:
        show(chat, question)
    while not given.ask and (question := input("? ").strip()):
        show(chat, question)


if __name__ == "__main__":
    main()
