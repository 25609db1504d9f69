"""What protection is worth, in figures and words: the facts that `explain` and the reference page are made from.

Measured figures are DESIGN.md §5 and §8: 384 dimensions, real sentence embeddings. Formulas name their source.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from vecguard.policy.model import FieldMode, Recover
from vecguard.policy.tenants import TenantRule
from vecguard.policy.transforms import (
    AnalyticGaussianSpec,
    BinarySpec,
    GaussianSpec,
    Int8Spec,
    LaplaceSpec,
    LearnedSpec,
    NoiseSpec,
    PcaSpec,
    ProjectionSpec,
    PurkayasthaSpec,
    RoundingSpec,
    TruncateSpec,
    VonMisesFisherSpec,
)
from vecguard.transform.accounting import composed, gaussian_epsilon, gaussian_mu
from vecguard.transform.strength import SENSITIVITY

if TYPE_CHECKING:
    from vecguard.transform.learned import Privacy

# Re-identification R@1 among 1,000 records from m leaked (vector, stored vector) pairs of ONE rotation key, candidates
# mapped forward by ridge regression (vecguard/audit/attacks/linkage.py): noise ratio -> ((m, R@1), ...). Sentences of
# SQuAD by MiniLM, mean of three keys.
LINKAGE: Final[Mapping[float, tuple[tuple[int, float], ...]]] = {
    0.0: ((4, 1.00),),
    1.0: ((32, 0.77), (64, 0.98), (100, 1.00)),
    2.0: ((100, 0.34), (384, 0.91), (1000, 0.99)),
}

# recall@10 against exact search WITHOUT re-ranking, by noise ratio. DESIGN.md §5.
RECALL_UNRANKED: Final[Mapping[float, float]] = {0.5: 0.84, 1.0: 0.69, 1.5: 0.57, 2.0: 0.46}

# (ratio, certainty) -> lowest recall@10 and largest mean number of candidates among three data sets of 5,000 records
# (SQuAD, MedQuAD, SciFact), certified over-fetch. DESIGN.md §5.
RECALL_CERTIFIED: Final[Mapping[tuple[float, float], tuple[float, int]]] = {
    (0.5, 1.5): (0.998, 59),
    (1.0, 1.5): (0.993, 199),
    (1.0, 2.0): (0.998, 331),
    (2.0, 1.5): (0.981, 1158),
}

MODE_AT_REST: Final[Mapping[FieldMode, str]] = {
    "plain": "stored as it is: adversaries A, B and C read it, and F alters it unnoticed",
    "searchable": "encrypted so that equal values look equal (AES-SIV): A sees how often each value occurs, "
    "and may guess common values from that, but reads none",
    "sealed": "encrypted anew on every write (AES-256-GCM), length padded: A sees only about how long it is",
    "tokens": "sealed as above, and labelled: A sees which texts have words in common, how many distinct words each "
    "has and in how many texts each word occurs, and may guess common words, and texts that it knows, from that; not "
    "the words' order. C also sees which words a query asks for together",
    "range": "sealed as above, and labelled: A sees which values are equal, how often each occurs, and of any two "
    "how close they are (how many of the sixteen digits of their order they share), but not which is greater; who "
    "knows how the values are spread may place them by that. C also sees which labels a range asks for, and may learn "
    "the order from many ranges. Filters are exact but for a chance of 2^-64 for each pair of labels",
}
MODE_FILTERS: Final[Mapping[FieldMode, str]] = {
    "plain": "everything Qdrant offers: match, range, full text, geo, datetime, values_count, is_empty, is_null, "
    "facet, group_by, order_by",
    "searchable": "match value / any / except, is_empty, is_null, values_count, facet, group_by; "
    "no range, full text, geo, datetime or order_by",
    "sealed": "is_empty, is_null, values_count; nothing that would have to read the value",
    "tokens": "full text (MatchText, MatchTextAny: whole words, as with an index of the word tokenizer), is_empty, "
    "is_null, values_count; no match, phrase, prefix, facet, group_by or order_by. Qdrant only",
    "range": "range and datetime range, match value / any, is_empty, is_null, values_count; "
    "no match except, full text, geo, facet, group_by or order_by",
}

# Share of the true ten among fixed candidates, without noise: 5,000 sentences by MiniLM (384 dimensions), 304 queries,
# cosine; DESIGN.md §5 has .991 (SQuAD) and .988 (MedQuAD) for 64 components.
RECALL_FIXED: Final[Mapping[str, str]] = {
    "pca": "of the true ten, .992 are among 200 candidates at 64 components of 384, .999 at 128",
    "learned": "of the true ten, .990 are among 200 candidates at 64 of 384 dimensions, .934 where training was "
    "(8, 1e-5)-differentially private over 8,070 vectors",
    "truncate": "of the true ten, .983 are among 200 candidates at 128 of 384 dimensions after a rotation",
    "johnson-lindenstrauss": "of the true ten, .960 are among 200 candidates at 128 of 384 dimensions (gaussian)",
    "binary": "of the true ten, .988 are among 50 candidates, all among 200",
    "int8": "of the true ten, .998 are the ten at rest",
}
FIXED_QUERY: Final = "scores are exact, but a better record beyond the candidates read is missed"

# The delta at which an epsilon is shown where the policy names none; and up to where an epsilon is worth its name.
_DELTA: Final = 1e-6
_STRONG_EPSILON: Final = 10.0

EXACT_QUERIES: Final[Mapping[str, str]] = {
    "nearest by vector or id, recommend with average_vector": "exact scores; candidates are read until the noise can "
    "no longer hide a better record (certified), or until max_candidates",
    "prefetch, then RRF, DBSF or an exact re-scoring": "each leaf exact as above; fused or re-scored in the proxy",
    "MMR, groups, formula, distance matrix": "computed in the proxy on exact scores; formulas "
    "read opened payloads, whatever a field's mode",
    "scroll, order_by, sample, count, retrieve": "not affected by the protection of vectors",
}
APPROXIMATE_QUERIES: Final[Mapping[str, str]] = {
    "recommend with best_score or sum_scores, discover, context, relevance feedback": "candidates come from the "
    "protected index: scores are exact, but a better record may be missed",
}
SPARSE: Final = (
    "weights stay, indices are permuted by key: scores are exact without re-ranking; how often each index occurs, and "
    "with what weights, stays open to frequency analysis"
)
MULTIVECTOR: Final = "protected row by row; how many rows there are stays visible"
RECOVERY: Final[Mapping[Recover, str]] = {
    "derived": "the proxy subtracts the noise and undoes the rotation; no exact copy is stored",
    "sealed": "an exact copy lies beside each record, encrypted (AES-SIV)",
    "none": "nobody gets it back, not even the proxy: reads of vectors are refused, scores are those of stored vectors",
}

ADVERSARIES: Final[Mapping[str, str]] = {
    "A": "thief of the database",
    "B": "thief with leaked pairs",
    "C": "curious operator",
    "D": "stolen credential",
    "E": "network",
    "F": "writer behind the proxy",
}
OPERATOR: Final = "sees rotated queries without noise: which ones resemble each other, and what each one finds"
CREDENTIAL: Final = "may search and read as its owner: only access and limits, below, stand in the way"
NETWORK: Final = "not a matter of the policy: TLS of the listeners and to the database are settings of the server"
ALTERED_VECTORS: Final = (
    "altered or swapped vectors are reported and not served; deleting a record, or putting back an older version, "
    "is not noticed"
)
ALTERED_VECTORS_NEWEST: Final = (
    "altered, swapped and older vectors are reported and not served; deleting a record is not noticed"
)
NEWEST: Final = (
    "a record, or a part of one, that is not the newest is reported, and so is one that was deleted and put back; but "
    "for a second after a write, and until a later one where writes overlapped (docs/adr/rollback.md)"
)
ALTERED_UNRECOVERABLE: Final = "NOT protected: without recovery an altered vector cannot be told from a good one"
ALTERED_SEALED: Final = (
    "alteration is reported; a value is tied to its collection, field and point (not to the point where a write chose "
    "its points by filter)"
)
ALTERED_SEARCHABLE: Final = (
    "alteration is reported; a value is tied to its collection and field, "
    "but copying it to another point is not noticed"
)

ALTERED_LABELS: Final = (
    "alteration of a value is reported, as of a sealed one; its labels are not authenticated: with other labels a "
    "record is missed or found by the wrong filters, and comes back with its true value"
)

ENCRYPTED_IDS: Final = (
    "how many there are, when they change, whether each id is a number, a UUID or a text, and about how long a long "
    "text is; ids are encrypted (keyed permutations, AES-SIV), so scrolls go in an order of their own"
)

HIDDEN_NAMES: Final = (
    "which fields have the same name in the same place (keyed names, AES-SIV), how many fields there are, what each is "
    "asked for, and about how long a long name is; list lengths, nulls, empty lists and maps. `lon` and `lat` in plain "
    "fields, names of vectors and of columns (Milvus), and keys of a collection's own metadata stay"
)

VISIBLE_AT_REST: Final[Mapping[str, str]] = {
    "records": "how many there are, their ids, when they change",
    "payload": "key names, list lengths, nulls, empty lists and maps",
    "vectors": "names, dimensions and distance; for dot and Euclid also about how long each vector is",
    "`_vg`": "format version, key epoch and the record's entry, unreadable without the key",
}


def tenants_text(rule: TenantRule) -> str:
    """What keys of each tenant's own are for, and what they are not."""
    whose = f"the field `{rule.field}`" if rule.field is not None else f"the caller's attribute `{rule.attribute}`"
    return (
        f"each has data keys of its own, chosen by {whose}: payload, exact vectors and what undoes the noise are under "
        "them. One rotation turns all tenants' vectors, so pairs that leaked of one say as much of the others (B); A "
        "sees which records are of one tenant"
    )


def tenant_shred_text(ratio: float) -> str:
    """What destroying a tenant's keys leaves, where the weakest noise has this ratio."""
    gone = "its records are deleted, and payload and exact vectors cannot be read in any backup of the records"
    if ratio == 0:
        return f"{gone}; vectors there that have no noise are only turned, and whoever has the KEK can turn them back"
    bits = leaked_bits_per_dimension(ratio)
    return (
        f"{gone}. Vectors there keep their noise for good; under the rotation, which lives, at most {bits:.2g} bits "
        "for each dimension are left to whoever has the KEK. Sparse vectors there can be read by it"
    )


def leaked_bits_per_dimension(ratio: float) -> float:
    """At most this many bits about a unit record pass through noise of this ratio, per dimension.

    Capacity of the Gaussian channel, 1/2 * log2(1 + 1/ratio²) (Cover & Thomas, "Elements of Information Theory", 9.1);
    the noise has variance ratio²/d and the record power 1/d per dimension. Infinite at ratio 0.
    """
    return math.inf if ratio == 0 else 0.5 * math.log2(1 + 1 / ratio**2)


def linkage_text(ratio: float) -> str:
    """The measured effect of leaked pairs at the strongest noise ratio measured that is not above `ratio`."""
    measured = max(known for known in LINKAGE if known <= ratio)
    figures = ", ".join(f"{pairs:,} pairs in {recall:.0%}" for pairs, recall in LINKAGE[measured])
    at = "" if measured == ratio else f" (at ratio {measured:g}, the nearest lower one measured)"
    return f"the right record among 1,000 is found{at} from: {figures}"


def recovery_text(recover: Recover, ratio: float, clip: float | None = None) -> str:
    """Who gets an exact vector back, and how, under noise of this ratio (0: none), of vectors clipped to a norm."""
    if recover == "none" and ratio == 0:
        return "reads of vectors are refused, but the key alone undoes a rotation without noise"
    if recover == "derived" and clip is not None:
        return (
            f"{RECOVERY[recover]}. A vector longer than {clip:g} comes back SHORTENED to that norm, and its scores are "
            "those of the shortened one (cosine excepted); `sealed` keeps the exact one"
        )
    return RECOVERY[recover]


def thief_text(noise: NoiseSpec | None) -> str:
    """What a thief of the database gets from vectors under this noise."""
    if noise is None:
        return (
            "coordinates mean nothing without the key, but all distances stay: clusters and duplicates are visible, "
            "and an unsupervised alignment with similar public text can undo the rotation; noise of ratio 1 does "
            "not stop that, and ratio 2 not all of it (docs/audit.md)"
        )
    bits = {dims: leaked_bits_per_dimension(noise.ratio_at(dims)) * dims for dims in (384, 768, 1536)}
    shown = ", ".join(f"{of:,.0f} at d={dims}" for dims, of in bits.items())
    # At equal power no noise hides more than a Gaussian one; the others come close to it in so many dimensions.
    bound = "at most" if isinstance(noise, GaussianSpec | AnalyticGaussianSpec) else "about"
    return (
        f"coordinates mean nothing without the key, and distances are blurred: {bound} d/2·log2(1+1/r²) bits pass "
        f"about a record ({shown}); an unsupervised alignment with ten thousand similar texts still links all "
        "records at ratio 1, one in six at ratio 2 (SQuAD, of 200 candidates; docs/audit.md)"
    )


def loss_text(lossy: ProjectionSpec | RoundingSpec) -> str:
    """What a projection or rounding keeps from a thief, which is less than one may think."""
    if isinstance(lossy, BinarySpec):
        return "of each coordinate one bit remains, so at most d bits about a record"
    if isinstance(lossy, Int8Spec):
        return "next to nothing: 255 values a coordinate say nearly all"
    kept = f"{lossy.dims} of the dimensions remain"
    if isinstance(lossy, LearnedSpec):
        return (
            f"{kept}, those that a network was trained to keep; it is not a secret, and an inverter trained on what it "
            "gives recovers about as much as from as many principal components (docs/audit.md)"
        )
    if isinstance(lossy, PcaSpec | TruncateSpec):
        return f"{kept}, those that carry most: it saves memory, and hides little that search needs"
    return f"{kept}, a random part; who learns the matrix from leaked pairs still lacks the rest"


def training_text(privacy: Privacy | None) -> str:
    """What differential privacy a network's sample has, by what its artefact says."""
    if privacy is None:
        return "without differential privacy: the artefact may tell about single vectors of the sample; keep it as safe"
    return (
        f"DP-SGD: ({privacy.epsilon_prv:.4g}, {privacy.delta:g})-differentially private as to one vector of the sample "
        f"more or less, by Opacus' PRV accountant ({privacy.epsilon_rdp:.4g} by Rényi); noise multiplier "
        f"{privacy.noise_multiplier:.4g}, clip norm {privacy.clip:g}, {privacy.steps:,} steps at a rate of "
        f"{privacy.sample_rate:.4g}. It speaks of the sample alone, not of what is stored with the network"
    )


def fixed_text(lossy: ProjectionSpec | RoundingSpec | None) -> str:
    """The measured recall of fixed over-fetch for this kind of loss, or that there is none."""
    kind = "none" if lossy is None else lossy.kind
    figure = RECALL_FIXED.get(kind)
    return "recall at these settings has not been measured" if figure is None else f"measured: {figure}"


def privacy_text(noise: NoiseSpec | None) -> str:
    """What differential privacy the stored vectors have, if any, with its ε in plain figures."""
    once = "The noise is fixed per content and id, so writing the same again is no further release"
    match noise:
        case None:
            return "none: without noise nothing is hidden from whoever has the rotation"
        case GaussianSpec():
            epsilon = gaussian_epsilon(SENSITIVITY * math.sqrt(384) / noise.ratio, _DELTA)
            return (
                f"none is claimed. As a Gaussian mechanism over unit vectors this would be ε = {epsilon:,.0f} at "
                f"δ = {_DELTA:g} and d = 384, which promises next to nothing: the protection is that of the keys"
            )
        case AnalyticGaussianSpec():
            mu = gaussian_mu(noise.epsilon, noise.delta)
            ten = gaussian_epsilon(composed([mu] * 10), noise.delta)
            vector = "unit vector" if noise.clip is None else f"vector of norm at most {noise.clip:g}"
            return (
                f"({noise.epsilon:g}, {noise.delta:g}) as to which {vector} a record holds, for whoever lacks the "
                f"noise's key. {once}; ten contents under one id make it ({ten:,.4g}, {noise.delta:g}). "
                f"{_caution(noise.epsilon)}"
            )
        case LaplaceSpec() | VonMisesFisherSpec():
            epsilon = noise.epsilon
            text = f"metric: ε·t with ε = {epsilon:g} for vectors at distance t, {2 * epsilon:g} for opposite ones"
            return f"{text}. {once}. {_caution(2 * noise.epsilon)}"
        case PurkayasthaSpec():
            most = math.pi * noise.epsilon
            text = f"metric: ε·t with ε = {noise.epsilon:g} for t radians, {most:,.4g} for opposite directions"
            return f"{text}. {once}. {_caution(most)}"
    return "none: the scheme's proof is about comparing distances of records drawn at random"


def _caution(epsilon: float) -> str:
    return (
        "That is a strong guarantee, at which search by the stored vectors finds next to nothing"
        if epsilon <= _STRONG_EPSILON
        else f"A loss of {epsilon:,.4g} bounds a likelihood ratio by e^{epsilon:,.4g}, which promises next to nothing: "
        "the protection is that of the keys"
    )


def cells_text(count: int) -> str:
    """What dealing records to so many cells does and costs."""
    return (
        f"{count} of them with keys of their own; which one a record is in is written nowhere. A search makes {count} "
        "times the calls and opens as many times the candidates, and misses no cell"
    )


def pairs_text(ratio: float, cells: int = 1) -> str:
    """What a thief who also holds leaked pairs gets under noise of this ratio (0: none), in so many cells."""
    if cells > 1:
        each = pairs_text(ratio)
        return (
            f"pairs count within their own cell only: {cells} times as many are needed in all (at ratio 1, the right "
            "record among 1,000 in 90%: about 64 pairs without cells, 256 with 4, 1,024 with 16, 4,096 with 64). Which "
            "cell a pair is of need not be known: from some sixty pairs a cell on they tell it themselves "
            f"(docs/audit.md). In each cell: {each}"
        )
    if ratio == 0:
        return (
            f"BREAKS: a few pairs tell records apart, about d give the rotation away. Measured, {linkage_text(ratio)}"
        )
    return (
        f"slowed, not stopped: text inversion is spoiled, but records can be linked. Measured, {linkage_text(ratio)}. "
        "More keys (more collections or vector names) are what stops it"
    )


def recall_text(ratio: float, certainty: float) -> str:
    """The measured recall of certified over-fetch at exactly these settings, or that there is none."""
    measured = RECALL_CERTIFIED.get((ratio, certainty))
    if measured is None:
        return "recall at these settings has not been measured"
    recall, candidates = measured
    return f"measured recall@10 >= {recall:g} with at most {candidates:,} candidates on average (5,000 records)"


def unranked_recall_text(ratio: float) -> str:
    """The measured recall without re-ranking at the nearest measured noise ratio that is not below `ratio`."""
    measured = min((known for known in RECALL_UNRANKED if known >= ratio), default=None)
    if measured is None:
        return f"recall@10 is below the {RECALL_UNRANKED[2.0]:g} measured at ratio 2"
    at = "" if measured == ratio else f" at ratio {measured:g}, the nearest higher one"
    return f"measured recall@10 {RECALL_UNRANKED[measured]:g}{at}"
