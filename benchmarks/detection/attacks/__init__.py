"""The attacks of the lab, by name."""

from __future__ import annotations

from typing import Final

from benchmarks.detection.attacks.attack import Attack
from benchmarks.detection.attacks.crawlers import ikea, pirates, ragcrawler, random_crawler
from benchmarks.detection.attacks.dumps import deep_offsets, enumerate_ids, scroll_at_once, scroll_dump
from benchmarks.detection.attacks.probes import known_plaintext, membership
from benchmarks.detection.attacks.scores import climb, trilaterate_near, trilaterate_pinned
from benchmarks.detection.attacks.sweeps import dgea, farthest_point, kmeans_sweep
from benchmarks.detection.attacks.walks import recommend_walk, vector_walk

ATTACKS: Final = (
    Attack("random crawler", "records", 400, random_crawler),
    Attack("RAGCrawler", "records", 400, ragcrawler),
    Attack("IKEA", "records", 400, ikea),
    Attack("Pirates of the RAG", "records", 400, pirates),
    Attack("DGEA", "records", 250, dgea),
    Attack("k-means sweep", "records", 400, kmeans_sweep),
    Attack("farthest-point sweep", "records", 300, farthest_point),
    Attack("returned-vector walk", "records", 300, vector_walk),
    Attack("recommend walk", "records", 300, recommend_walk),
    Attack("scroll dump", "records", 150, scroll_dump),
    Attack("scroll dump, 1,000 a page", "records", 15, scroll_at_once),
    Attack("deep offsets", "records", 60, deep_offsets),
    Attack("id enumeration", "records", 400, enumerate_ids),
    Attack("trilateration, pinned", "vector", 3_072, trilaterate_pinned),
    Attack("trilateration, not pinned", "vector", 500, trilaterate_near),
    Attack("hill climbing", "vector", 2_000, climb),
    Attack("membership probes", "members", 600, membership),
    Attack("known plaintext", "pairs", 300, known_plaintext),
)
