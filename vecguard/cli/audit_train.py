"""`vecguard audit train`: train the text inverters for an embedder on texts of one's own."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from vecguard.errors import ConfigError, VecGuardError

if TYPE_CHECKING:
    from vecguard.audit.training.attackers import Material
    from vecguard.transform.base import Floats

# Texts that are embedded, and kept, at a time.
PART = 8192
HEADS = 4


def train_command(
    data: Annotated[Path, typer.Option(help="JSON Lines file or folder: train/valid.jsonl(.zst), or corpus (BEIR).")],
    out: Annotated[Path, typer.Option(help="Folder for checkpoints and the result; a stopped run goes on there.")],
    embedder: Annotated[str, typer.Option(help="minilm or wordllama.")] = "minilm",
    minutes: Annotated[float | None, typer.Option(min=0.1, help="Time for the base. [default: by --steps]")] = None,
    correct_minutes: Annotated[float | None, typer.Option(min=0.1, help="Time for the corrector.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="At most this many steps of each.")] = 8000,
    vocabulary: Annotated[int, typer.Option(min=300, help="Word pieces that the inverter writes with.")] = 8192,
    layers: Annotated[int, typer.Option(min=1)] = 3,
    width: Annotated[int, typer.Option(min=HEADS, help=f"A multiple of {HEADS}.")] = 256,
    jitter: Annotated[float, typer.Option(min=0, help="Train against noise of this ratio on the embeddings.")] = 0.0,
    texts: Annotated[int | None, typer.Option(min=1, help="At most this many texts. [default: all]")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    licences: Annotated[str, typer.Option(help="Licences of the data, for the card.")] = "",
    seed: Annotated[int, typer.Option()] = 7,
) -> None:
    """Train a bag-of-words inverter, a generative one and its corrector; write inverter.npz and bag_of_words.npz."""
    console = Console()
    try:
        if width % HEADS:
            raise ConfigError(f"--width must be a multiple of {HEADS}, got {width}")
        trainer = _Trainer(console, out, embedder, threads)
        trainer.train(
            data,
            licences,
            texts,
            {"seed": seed, "vocabulary": vocabulary, "layers": layers, "width": width, "heads": HEADS},
            {"seed": seed, "steps": steps, "jitter": jitter, "minutes": minutes or math.inf},
            correct_minutes,
        )
    except VecGuardError as failure:
        typer.echo(f"vecguard audit train: {failure}", err=True)
        raise typer.Exit(1) from None


class _Trainer:
    """Embeds the texts, part by part through a cache in `out`, and trains on them."""

    def __init__(self, console: Console, out: Path, embedder: str, threads: int) -> None:
        try:
            from vecguard.audit.training.attackers import use_threads
        except ImportError as missing:
            raise ConfigError(f"{missing.name} is not installed: pip install 'vecguard[audit]'") from missing
        from vecguard.audit.embedders import CachedEmbedder

        use_threads(threads)
        self._console, self._out = console, out
        self._kept = CachedEmbedder(embedder, out / "embeddings")
        self._unkept = CachedEmbedder(embedder, None)

    def train(
        self,
        data: Path,
        licences: str,
        most: int | None,
        sizes: dict[str, int],
        pace: dict[str, float],
        correct_minutes: float | None,
    ) -> None:
        from vecguard.audit.training.attackers import CHECKPOINT, About, Attackers, Training
        from vecguard.audit.training.plan import Plan

        base = Plan.model_validate(pace)
        corrector = Plan.model_validate(pace | ({"minutes": correct_minutes} if correct_minutes else {}))
        training = Training.model_validate(sizes | {"base": base, "corrector": corrector.correcting()})
        material = self._material(data, training.seed, most)
        about = About(self._kept.name, data.name, licences)
        attackers = Attackers(material, self._unkept.embed, self._out, training, about)
        with self._console.status("vocabulary") as status:

            def report(step: str, what: str) -> None:
                status.update(f"{step}: {what}")
                self._console.log(f"{step}: {what}", highlight=False)

            card = attackers.train(report)
        self._console.print(
            f"{self._out / CHECKPOINT}: for {card.embedder}, SHA-256 {card.sha256}", highlight=False, soft_wrap=True
        )

    def _material(self, data: Path, seed: int, most: int | None) -> Material:
        from vecguard.audit.training.attackers import Material
        from vecguard.audit.training.texts import read_training_texts

        texts, valid = read_training_texts(data, seed)
        texts = texts[:most]
        self._console.print(
            f"{data}: {len(texts):,} texts to train on, {len(valid):,} for validation", highlight=False, soft_wrap=True
        )
        return Material(texts, self._embedded(texts), valid, self._embedded(valid))

    def _embedded(self, texts: list[str]) -> Floats:
        import numpy as np  # not before a command runs, which says how many threads numpy may start

        parts = []
        with Progress(console=self._console) as shown:
            task = shown.add_task("embedding", total=len(texts))
            for start in range(0, len(texts), PART):
                parts.append(self._kept.embed(texts[start : start + PART]))
                shown.update(task, completed=start + len(parts[-1]))
        return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)
