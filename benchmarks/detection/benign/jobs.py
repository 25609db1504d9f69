"""Programs that do honest work with much of a collection: evaluation, recommendation, deduplication, re-indexing."""

from __future__ import annotations

from benchmarks.detection.benign.user import User
from benchmarks.detection.target import Want


def batch_evaluation(user: User) -> None:
    """A BEIR evaluation: every question once, a hundred ids and scores each, no payload; some ask for exact search."""
    count = min(int(user.random.integers(300, 1_500)), len(user.world.questions.texts))
    exact = bool(user.random.random() < 0.3)
    rows = user.random.permutation(len(user.world.questions.texts))[:count]
    user.clock.now += 20 * 3_600
    for first in range(0, count, 16):
        some = user.world.questions.vectors[rows[first : first + 16]]
        user.target.search_batch(some, Want(limit=100, payload=False, exact=exact))
        user.wait(1.0)


def answer_evaluation(user: User) -> None:
    """An evaluation of answers, which reads what the language model would: a hundred questions, five payloads each."""
    rows = user.random.permutation(len(user.world.questions.texts))[: int(user.random.integers(40, 120))]
    user.clock.now += 20 * 3_600
    for row in rows:
        user.target.search(user.world.questions.vectors[row], Want(limit=5))
        user.wait(5.0)


def recommend(user: User) -> None:
    """A shop window: from a record to six like it, from one of those on, for a while."""
    user.clock.now += 8 * 3_600
    for _ in range(2 + user.random.poisson(8)):
        answer = user.target.search(user.world.questions.vectors[user.question()], Want(limit=6))
        for _ in range(1 + user.random.poisson(4)):
            answer = user.target.recommend([int(user.random.choice(answer.ids))], Want(limit=6))
            user.wait(30)
        user.wait(1_800)


def deduplicate(user: User) -> None:
    """A nightly look for doubles among the newest records: three like each, ids and scores alone."""
    stored = len(user.world.documents.texts)
    count = int(user.random.integers(200, 800))
    first = int(user.random.integers(0, stored - count)) if stored > count else 0
    user.clock.now += 2 * 3_600
    for number in range(first, min(first + count, stored)):
        user.target.recommend([number], Want(limit=3, payload=False))
        user.wait(0.5)


def reindex(user: User) -> None:
    """A writer who fills the collection, and one night reads it all back with vectors and writes it again."""
    vectors, texts = user.world.documents.vectors, user.world.documents.texts
    user.clock.now += 3_600
    for first in range(0, len(texts), 200):
        ids = list(range(first, min(first + 200, len(texts))))
        user.target.write(ids, vectors[ids], [texts[number] for number in ids])
        user.wait(1.0)
    user.wait(3_600)
    start = 0
    while True:
        answer = user.target.scroll(start, Want(limit=200, vectors=True))
        if not len(answer.ids):
            return
        user.target.write(answer.ids.tolist(), answer.vectors, list(answer.texts))
        user.wait(1.0)
        start = int(answer.ids[-1]) + 1
