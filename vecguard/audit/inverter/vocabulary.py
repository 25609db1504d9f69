"""Words and pieces of words that an inverter writes with: a byte-level BPE vocabulary learned from its training texts.

Source: Sennrich, Haddow & Birch, "Neural Machine Translation of Rare Words with Subword Units" (ACL 2016); bytes as the
alphabet as in GPT-2 (Radford et al. 2019), so that every text can be written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from vecguard.errors import ConfigError, InvalidArgument

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PAD, BEGIN, END = 0, 1, 2
SPECIAL = ("<pad>", "<s>", "</s>")
# How the byte-level alphabet writes a space.
WORD_BEGIN = "\u0120"
# All 256 bytes and the special tokens.
SMALLEST = 256 + len(SPECIAL)


class Vocabulary:
    """Turns lower-cased text into token numbers and back.

    Text is folded by NFKC and lower-cased: the embedders audited here are mostly uncased, so case is not in an
    embedding to be recovered.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def train(cls, texts: Iterable[str], size: int) -> Vocabulary:
        """Learns `size` tokens (special ones and bytes included) from `texts`.

        Raises:
            InvalidArgument: `size` cannot hold the bytes and the special tokens.
        """
        if size < SMALLEST:
            raise InvalidArgument(f"a vocabulary needs at least {SMALLEST} tokens, got {size}")
        tokenizers = _package()
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
        tokenizer.normalizer = tokenizers.normalizers.Sequence(
            [tokenizers.normalizers.NFKC(), tokenizers.normalizers.Lowercase()]
        )
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.decoder = tokenizers.decoders.ByteLevel()
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=list(SPECIAL),
            initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer)

    @classmethod
    def from_json(cls, text: str) -> Vocabulary:
        """Opens what `to_json` wrote.

        Raises:
            ConfigError: it is not such a vocabulary, or `tokenizers` is not installed.
        """
        try:
            return cls(_package().Tokenizer.from_str(text))
        except ConfigError:
            raise
        except Exception as broken:  # the package raises bare Exception
            raise ConfigError("the vocabulary of the inverter checkpoint cannot be read") from broken

    def to_json(self) -> str:
        """The vocabulary as compact JSON (the `tokenizers` format)."""
        return json.dumps(json.loads(self._tokenizer.to_str()), separators=(",", ":"), ensure_ascii=False)

    def __len__(self) -> int:
        size: int = self._tokenizer.get_vocab_size()
        return size

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers of each text, without BEGIN and END."""
        return [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """The text of each row of token numbers; special tokens are left out."""
        decoded: list[str] = self._tokenizer.decode_batch([list(row) for row in rows], skip_special_tokens=True)
        return [text.strip() for text in decoded]

    def spellings(self) -> list[str]:
        """Each token as text by itself, in order of its number; '' for a special one or a part of a character."""
        alone = self.decode([[token] for token in range(len(self))])
        return ["" if "\ufffd" in text else text for text in alone]

    def begin_words(self) -> list[bool]:
        """For each token, whether it begins a word (its first byte is a space)."""
        return [(self._tokenizer.id_to_token(token) or "").startswith(WORD_BEGIN) for token in range(len(self))]


def _package() -> Any:
    try:
        import tokenizers
        import tokenizers.decoders
        import tokenizers.models
        import tokenizers.normalizers
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as missing:
        raise ConfigError("tokenizers is not installed: pip install 'vecguard[demo]'") from missing
    return tokenizers
