"""Small changes to a text that may bring its embedding closer: a word left out, put in, or exchanged.

Which words are missing and which are wrong is read from the base's word evidence, of the target and of the text's own
embedding; further missing ones are for the caller to name (vecguard/audit/inverter/lexicon.py). What the changes are
worth is for the embedder to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vecguard.audit.inverter.vocabulary import SPECIAL, Vocabulary

Floats = npt.NDArray[np.float32]
Word = tuple[int, ...]

# A word that the target's evidence holds for likelier than e^-2 against 1 is worth a try.
LEAST_EVIDENCE = -2.0


@dataclass(frozen=True)
class Width:
    """How many wrong words and how many missing ones are tried, and at how many places one is put in."""

    wrong: int = 4
    missing: int = 4
    places: int = 2


class Editor:
    """Proposes changes of texts in the tokens of a vocabulary."""

    def __init__(self, vocabulary: Vocabulary, width: Width = Width()) -> None:
        self._vocabulary = vocabulary
        self._width = width
        begins = np.array(vocabulary.begin_words())
        begins[: len(SPECIAL)] = False
        self._begins = begins

    def words(self, tokens: Sequence[int]) -> list[Word]:
        """The tokens of each word: a word begins with a token that begins with a space."""
        found: list[list[int]] = []
        for token in tokens:
            if self._begins[token] or not found:
                found.append([])
            found[-1].append(token)
        return [tuple(word) for word in found]

    def edits(
        self, text: str, target: Floats, own: Floats, chance: np.random.Generator, named: Sequence[str] = ()
    ) -> list[str]:
        """Texts one change away.

        Args:
            text: the text.
            target: float32 (vocabulary,), log-odds of each token by the target embedding.
            own: the same by the text's own embedding.
            chance: of the places where words are put in.
            named: further words to try.
        """
        (tokens,) = self._vocabulary.encode([text])
        words = self.words(tokens)
        missing = [*self._missing(tokens, target, own), *map(tuple, self._vocabulary.encode(list(named)))]
        wrong = sorted(range(len(words)), key=lambda place: self._support(words[place], target, own))
        changed: list[list[Word]] = []
        for place in wrong[: self._width.wrong]:
            changed.append([*words[:place], *words[place + 1 :]])
            changed += [[*words[:place], word, *words[place + 1 :]] for word in missing]
        for word in missing:
            for place in chance.choice(len(words) + 1, min(self._width.places, len(words) + 1), replace=False):
                changed.append([*words[:place], word, *words[place:]])
        return self._vocabulary.decode([[token for word in one for token in word] for one in changed if one])

    def _missing(self, tokens: Sequence[int], target: Floats, own: Floats) -> list[Word]:
        """Whole words that the target speaks for more than the text's own embedding does."""
        lack = np.where(self._begins & (target > LEAST_EVIDENCE), target - own, -np.inf)
        lack[list(tokens)] = -np.inf
        best = np.argsort(-lack)[: self._width.missing]
        return [(int(token),) for token in best if np.isfinite(lack[token])]

    def _support(self, word: Word, target: Floats, own: Floats) -> float:
        """How much the target speaks for a word: less where the text's own embedding speaks for it more."""
        return float(np.mean([min(target[token], target[token] - own[token]) for token in word]))
