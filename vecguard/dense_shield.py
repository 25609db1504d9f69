"""Protection of one dense vector name, compiled: what is stored for a vector, what a query becomes, and the way back.

Stored is `y = R·x' + n` (and y/‖y‖ where the backend normalises), with the record's entry beside it; see DESIGN §5 and
docs/formats.md.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vecguard.errors import InvalidArgument, Unreadable
from vecguard.manifest import VectorRecord
from vecguard.metric import Distance, normalize, norms
from vecguard.policy.model import FixedRerankRule, RerankRule
from vecguard.rerank import euclid_scale
from vecguard.seal.entry import EntrySealer, OpenedEntries
from vecguard.seal.rows import RowsSealer
from vecguard.transform.cells import Division
from vecguard.transform.chain import Chain
from vecguard.transform.frame import Frame, exact_frame, scoring_frame

Floats = NDArray[np.float32]

# A float32 vector that went through a rotation, a noise of up to 8 times its length and a backend that normalised it
# comes back to about 1e-6 of the noise's length; half-precision storage costs 5e-4 of it.
_FLOAT32_TOLERANCE: Final = 1e-3
_FLOAT16_TOLERANCE: Final = 1e-2
# Below these norms it is the smallest numbers of the storage that bound the error: subnormal ones from 1e-38 in
# float32, and steps of 6e-8 a component in float16 (multiplied by the stored scale).
_FLOAT32_FLOOR: Final = 1e-30
_FLOAT16_FLOOR: Final = 2e-5
# Noise that does not shrink with the record leaves rounding errors that do not either: relative to the norm that it is
# for, shorter records than this are held to what can be told of them.
_BOUNDED_FLOAT32_FLOOR: Final = 1e-2
_BOUNDED_FLOAT16_FLOOR: Final = 1e-1
_FLOAT32_LARGEST: Final = float(np.finfo(np.float32).max)
_FLOAT16_LARGEST: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Opened:
    """Exact vectors: `x` `(n, d)` float32; `stored_scale` `(n,)` float32 is what turns protected scores back."""

    x: Floats
    stored_scale: Floats


@dataclass(frozen=True, slots=True)
class _Part:
    """The records of one key epoch: how their vectors were mapped, and the frames in which they are opened."""

    chain: Chain
    scoring: Frame
    opening: Frame


class DenseShield:
    """Protection of one dense vector name. Multivectors go through it row by row.

    Records are protected in *parts*, which share no key: one for each live key epoch, or for each of its cells
    (see `vecguard.transform.cells`). A protected query finds the
    records of one part only (to all others it is a random vector), so a search is one probe a part. A probe needs no
    filter: records of other parts that come up in it are opened and scored like any other, and the certificate of a
    probe speaks of the unread records of its own part.
    """

    def __init__(
        self,
        record: VectorRecord,
        division: Division,
        chains: Mapping[int, Chain],
        sealer: EntrySealer,
        rows: RowsSealer,
        rerank: RerankRule | FixedRerankRule | None,
    ) -> None:
        """`chains` by part of the division."""
        self.record = record
        self.parts = division.parts
        """The parts, by their numbers, those that are written to first."""
        self._division = division
        chain = chains[self.parts[0]]
        self._chain = chain
        self.certified = chain.keeps_scores and not isinstance(rerank, FixedRerankRule) and not self._clips_sealed
        """Whether a certificate can say that no better record is left unread."""
        rerank = rerank.pages if isinstance(rerank, FixedRerankRule) else rerank
        self.rerank = rerank if record.recover != "none" and not chain.exact else None
        if self.divided and record.recover != "none":
            self.rerank = rerank or RerankRule()  # scores at rest of several parts cannot be compared
        self.noise_spread = chain.noise_spread  # as in `vecguard.rerank`
        self._sealer = sealer
        self._rows = rows
        self._frames = {part: self._compiled(part, of_part) for part, of_part in chains.items()}
        tolerance = _FLOAT16_TOLERANCE if record.half else _FLOAT32_TOLERANCE
        self._tolerance = tolerance * (1.0 + chain.noise_ratio)
        coarse = _FLOAT16_FLOOR * math.sqrt(self.stored_dims) * self.fixed_scale
        bounded = (_BOUNDED_FLOAT16_FLOOR if record.half else _BOUNDED_FLOAT32_FLOOR) * (self.noise_norm or 0.0)
        self._floor = max(coarse if record.half else _FLOAT32_FLOOR, bounded)
        self._largest = _FLOAT16_LARGEST if record.half else _FLOAT32_LARGEST

    def _compiled(self, part: int, chain: Chain) -> _Part:
        of_kind = self._rows if self.record.kind == "multi" else self._sealer
        epoch, _ = self._division.place(part)
        sketch, sealed = of_kind.sketch_matrix(epoch), self.record.recover == "sealed"
        # Mapped vectors of several parts cannot be compared with each other.
        scoring = exact_frame(chain, sketch) if self.divided and not sealed else scoring_frame(chain, sketch)
        # A sealed vector is not computed from the stored one, which is only checked: in whichever frame is cheaper.
        return _Part(chain, scoring, scoring if sealed else exact_frame(chain, sketch))

    @property
    def divided(self) -> bool:
        """Whether there are several parts, as while keys are rotated, or where there are cells."""
        return len(self.parts) > 1

    @property
    def distance(self) -> Distance:
        """Distance of the vector, as the client declared it."""
        return self.record.distance

    @property
    def noise_ratio(self) -> float:
        """E‖n‖/‖x‖ of the noise that is added; 0 when scores at rest are exact."""
        return self._chain.noise_ratio

    @property
    def exact_at_rest(self) -> bool:
        """Whether scores at rest, within a part, are exact."""
        return self._chain.exact

    @property
    def noise_norm(self) -> float | None:
        """What the noise of every record is multiplied with; None: each record's own norm, or 1 for unit vectors."""
        return None if self.distance == "cosine" else self._chain.clip

    @property
    def fixed_scale(self) -> float:
        """What every stored vector is divided by: 1, but for euclid, where noise that grows with the record is shrunk
        (`vecguard.rerank.euclid_scale`)."""
        grows = self.distance == "euclid" and self.noise_norm is None
        return euclid_scale(self.noise_ratio) if grows else 1.0

    @property
    def _clips_sealed(self) -> bool:
        """Whether exact vectors may be longer than those that are stored."""
        return self.noise_norm is not None and self.record.recover == "sealed"

    @property
    def recoverable(self) -> bool:
        """Whether exact vectors can be had back."""
        return self.record.recover != "none"

    @property
    def scores_rotated(self) -> bool:
        """Whether records are opened for scoring in the coordinates of `query`; otherwise they are exact then, too."""
        return self._chain.isometric and self.record.recover == "derived" and not self.divided

    @property
    def stored_dims(self) -> int:
        """Dimensions at rest."""
        return self._chain.dims_out

    def reading(self, candidates: int) -> DenseShield:
        """The same protection, with re-ranking that reads exactly `candidates` records of a search."""
        if self.rerank is None:
            return self
        same = copy.copy(self)
        same.rerank = self.rerank.model_copy(update={"first_page": candidates, "max_candidates": candidates})
        return same

    def sealing_with(self, sealer: EntrySealer, rows: RowsSealer) -> DenseShield:
        """The same protection, entries made by other sealers over the same keys."""
        same = copy.copy(self)
        same._sealer, same._rows = sealer, rows
        return same

    def check_dims(self, x: Floats) -> None:
        """Refuse a vector of another dimension, in Qdrant's words.

        Raises:
            InvalidArgument: the last axis is not the declared dimension.
        """
        if x.shape[-1] != self.record.dims:
            raise InvalidArgument(
                f"Wrong input: Vector dimension error: expected dim: {self.record.dims}, got {x.shape[-1]}"
            )

    def protect(
        self, ids: Sequence[bytes], x: Floats, nonce_ids: Sequence[bytes] | None = None
    ) -> tuple[Floats, list[bytes | None]]:
        """What is stored for `x` `(n, d)` float32, `(n, d')` float32, and each record's entry.

        `nonce_ids` take the place of `ids` in the record nonces, where ids are new for every write: the same content
        must get the same noise whenever it is written, or averaging would remove it.

        Raises:
            InvalidArgument: wrong dimension, too large for the backend's numbers, a length that the noise is not for.
        """
        self.check_dims(x)
        nonces = self._sealer.nonces(ids if nonce_ids is None else nonce_ids, x)
        effective = self._sealer.effective(nonces)
        exact, stored, sketched, stored_scale, noise_scale = self._forward(x, effective, self._written(effective))
        if not self.recoverable:
            return stored, [None] * len(ids)
        keep = self.record.recover == "sealed"
        return stored, list(self._sealer.seal_many(ids, nonces, stored_scale, noise_scale, exact, keep, sketched))

    def protect_rows(self, point_id: bytes, rows: Floats) -> tuple[Floats, bytes | None]:
        """`protect` for one multivector `(rows, d)`: its rows have one entry together.

        Raises:
            InvalidArgument: see `protect`.
        """
        self.check_dims(rows)
        nonce = self._rows.record_nonce(point_id, rows)
        effective = self._rows.effective(nonce)
        nonces = self._rows.row_nonces(effective, len(rows))
        part = np.repeat(self._written(np.frombuffer(effective, np.uint8)[np.newaxis]), len(rows))
        exact, stored, sketched, stored_scale, noise_scale = self._forward(rows, nonces, part)
        if not self.recoverable:
            return stored, None
        keep = self.record.recover == "sealed"
        return stored, self._rows.seal(point_id, nonce, stored_scale, noise_scale, exact, keep, sketched)

    def _written(self, nonces: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Parts that records with these nonces are written to, `(n,)`."""
        return self._division.of(np.full(len(nonces), self._division.epochs[0]), nonces)

    def _mapped(self, x: Floats, noise_scale: Floats, nonces: NDArray[np.uint8], parts: NDArray[np.int64]) -> Floats:
        """Each record through the chain of its part."""
        found = np.unique(parts)
        if len(found) == 1:
            return self._frames[int(found[0])].chain.forward(x, noise_scale, nonces)
        y = np.empty((len(x), self.stored_dims), np.float32)
        for part in found.tolist():
            rows = parts == part
            y[rows] = self._frames[part].chain.forward(x[rows], noise_scale[rows], nonces[rows])
        return y

    def _forward(
        self, x: Floats, nonces: NDArray[np.uint8], parts: NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Exact vector as the backend would keep it, stored vector, what is sketched, stored scale, noise scale."""
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused below
            exact = normalize(x) if self.distance == "cosine" else x
            self._chain.check_lengths(exact)
            held = exact if self.noise_norm is None else self._chain.clipped(exact)
            noise_scale = self._noise_scales(held)
            y = self._mapped(held, noise_scale, nonces, parts)
            if self.distance == "cosine":
                lengths = norms(y)
                stored_scale = np.where(lengths > 0, lengths, np.float32(1.0))
            else:
                stored_scale = np.full(len(x), self.fixed_scale, np.float32)
            y /= stored_scale[:, np.newaxis]
            # By the extremes, which needs no array of its own; NaN is neither below nor above.
            if y.size and not (y.max() <= self._largest and y.min() >= -self._largest):
                raise InvalidArgument("Wrong input: the vector is too large to be stored with its noise")
        sketched = held if self._chain.invertible else y * stored_scale[:, np.newaxis]
        return exact, y, sketched, stored_scale, noise_scale

    def _noise_scales(self, x: Floats) -> Floats:
        """Factor of each record's noise, (n,) float32."""
        if self.noise_norm is not None:
            return np.full(len(x), self.noise_norm, np.float32)
        unit = self._chain.unit_only or (self._chain.clip is not None and self.distance == "cosine")
        return np.ones(len(x), np.float32) if unit else norms(x)

    def query(self, x: Floats, part: int) -> Floats:
        """Protected query vectors for `x` `(n, d)` float32 that find the records of `part`: rotated, not noised.

        Raises:
            InvalidArgument: wrong dimension.
        """
        self.check_dims(x)
        return self._frames[part].chain.query(x)

    def open(self, ids: Sequence[bytes], stored: Floats, entries: Sequence[Sequence[bytes]]) -> Opened:
        """Exact vectors of records; of each record's candidate entries the one that fits its vector is taken.

        A record has more than one entry only around an update of its vector (see docs/formats.md).

        Raises:
            Unreadable: a record's vector fits none of its entries.
            InvalidArgument: the vector is protected so that nobody can recover it.
        """
        return self._open(ids, stored, entries, scoring=False)

    def open_for_scoring(self, ids: Sequence[bytes], stored: Floats, entries: Sequence[Sequence[bytes]]) -> Floats:
        """As `open`, but in the coordinates that are the cheapest to compare in (see `scores_rotated`).

        Returns:
            `(n, d')` float32, to be compared with each other, and with exact vectors, or what `query` makes of them.

        Raises:
            Unreadable, InvalidArgument: see `open`.
        """
        return self._open(ids, stored, entries, scoring=True).x

    def _frame(self, part: int, *, scoring: bool) -> Frame:
        of_part = self._frames[part]
        return of_part.scoring if scoring else of_part.opening

    def _open(
        self, ids: Sequence[bytes], stored: Floats, entries: Sequence[Sequence[bytes]], *, scoring: bool
    ) -> Opened:
        self._require_recoverable()
        first = [candidates[0] if candidates else None for candidates in entries]
        x, scale, ok = self._open_round(ids, stored, first, scoring=scoring)
        for i in np.flatnonzero(~ok).tolist():
            x[i], scale[i] = self._open_any(ids[i], stored[i], entries[i][1:], scoring=scoring)
        return Opened(x, scale)

    def _open_round(
        self, ids: Sequence[bytes], stored: Floats, entries: Sequence[bytes | None], *, scoring: bool
    ) -> tuple[Floats, Floats, NDArray[np.bool_]]:
        box = self._sealer.open_many(ids, entries)
        if self.divided:
            x, fits = self._reached_by_parts(stored, box, scoring=scoring)
        else:
            x, fits = self._reached(self._frame(self.parts[0], scoring=scoring), stored, box)
        ok = box.ok & fits
        if self.record.recover == "sealed":
            exact = np.zeros((len(ids), self.record.dims), np.float32) if box.exact is None else box.exact
            return exact, box.stored_scale, ok & box.has_exact
        return self._as_kept(x), box.stored_scale, ok

    def _reached(self, frame: Frame, stored: Floats, box: OpenedEntries) -> tuple[Floats, NDArray[np.bool_]]:
        """Records of one part: their vectors in a frame, and which of them are those that were sealed."""
        x = frame.reach(stored * box.stored_scale[:, np.newaxis], box.noise_scale, box.nonces)
        return x, self._sealer.verify_sketch(x, box.sketches, self._tolerance, floor=self._floor, matrix=frame.sketch)

    def _reached_by_parts(
        self, stored: Floats, box: OpenedEntries, *, scoring: bool
    ) -> tuple[Floats, NDArray[np.bool_]]:
        """`_reached` where each record's entry says of which part it is; one whose entry did not open fits none."""
        x, fits = np.zeros((len(stored), self.record.dims), np.float32), np.zeros(len(stored), np.bool_)
        parts = self._division.of(box.epochs, box.nonces)
        for part in self.parts:
            rows = np.flatnonzero(box.ok & (parts == part))
            if rows.size:
                frame = self._frame(part, scoring=scoring)
                reached, fits[rows] = self._reached(frame, stored[rows], box.take(rows))
                if self.record.recover == "derived":
                    x[rows] = reached
        return x, fits

    def _as_kept(self, x: Floats) -> Floats:
        """Recovered vectors as the backend would have kept the exact ones; rounding has changed their lengths a bit."""
        return normalize(x) if self.distance == "cosine" else x

    def _open_any(
        self, point_id: bytes, stored: Floats, entries: Sequence[bytes], *, scoring: bool
    ) -> tuple[Floats, np.float32]:
        for entry in entries:
            x, scale, ok = self._open_round([point_id], stored[np.newaxis], [entry], scoring=scoring)
            if ok[0]:
                return x[0], scale[0]
        raise Unreadable

    def open_rows(self, point_id: bytes, stored: Floats, entries: Sequence[bytes]) -> Opened:
        """`open` for one multivector `(rows, d')`.

        Raises:
            Unreadable: the rows fit none of the record's entries.
        """
        return self._open_rows(point_id, stored, entries, scoring=False)

    def open_rows_for_scoring(self, point_id: bytes, stored: Floats, entries: Sequence[bytes]) -> Floats:
        """`open_for_scoring` for one multivector `(rows, d')`.

        Raises:
            Unreadable: the rows fit none of the record's entries.
        """
        return self._open_rows(point_id, stored, entries, scoring=True).x

    def _open_rows(self, point_id: bytes, stored: Floats, entries: Sequence[bytes], *, scoring: bool) -> Opened:
        self._require_recoverable()
        for entry in entries:
            try:
                box = self._rows.open(point_id, entry)
            except Unreadable:
                continue
            if len(box.stored_scale) != len(stored):
                continue
            (part,) = self._division.of(np.array([box.epoch]), box.record_nonce).tolist()
            frame = self._frame(part, scoring=scoring)
            x = frame.reach(stored * box.stored_scale[:, np.newaxis], box.noise_scale, box.nonces)
            if not self._rows.verify_sketch(x, box, self._tolerance, floor=self._floor, matrix=frame.sketch):
                continue
            if self.record.recover == "derived":
                return Opened(self._as_kept(x), box.stored_scale)
            if box.exact is not None:
                return Opened(box.exact.copy(), box.stored_scale)
        raise Unreadable

    def _require_recoverable(self) -> None:
        if not self.recoverable:
            raise InvalidArgument(
                f"vectors of `{self.record.name}` cannot be returned: the policy says `recover: none` for them"
            )
