"""The demo's servers are real processes: the bare engine serves the ordinary client, a failed start is explained."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

from vecguard.demo import application
from vecguard.demo.notes import make_notes
from vecguard.demo.run import Server
from vecguard.demo.serving import bare_engine, free_port, protected_engine
from vecguard.demo.thief import database_files, readable_bytes, readable_payloads, scroll_everything
from vecguard.errors import Unavailable

DIMS = 16


def refuse(port: int) -> None:
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1):
        pass


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))


@pytest.mark.parametrize("server", [bare_engine, protected_engine])
def test_a_failed_start_shows_the_end_of_the_log(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    starting = server(tmp_path / "data", tmp_path / "engine.log")
    with pytest.raises(Unavailable, match=r"engine did not start(?s:.*)data"), starting:
        pass


@pytest.mark.slow
def test_notes_in_a_bare_engine_are_found_and_stolen_in_clear(tmp_path: Path) -> None:
    notes = make_notes(250, 0)
    embeddings = np.random.default_rng(0).standard_normal((len(notes), DIMS)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    with bare_engine(tmp_path / "data", tmp_path / "engine.log") as port:
        client = application.connect(port)
        written: list[int] = []
        application.write(client, notes, embeddings, written.append)
        answers = application.ask(client, embeddings[:20], written.append)
        assert application.read_back(client, notes) == {note.id: note.payload() for note in notes}
        assert application.read_back(client, make_notes(251, 0)[250:]) == {}
        client.close()
    refuse(port)
    assert written == [100, 100, 50] + [1] * 20
    assert application.recall(answers, application.exact_neighbours(embeddings, embeddings[:20]), notes) == 1.0

    with bare_engine(tmp_path / "data", tmp_path / "thief.log") as port:
        loot = scroll_everything(f"127.0.0.1:{port}", application.COLLECTION)
    assert loot.ids == tuple(note.id for note in notes)
    assert list(loot.payloads) == [note.payload() for note in notes]
    np.testing.assert_allclose(loot.vectors, embeddings, atol=1e-5)
    assert readable_payloads(loot, [note.text for note in notes]) == len(notes)
    assert readable_bytes(database_files(tmp_path / "data"), [note.text for note in notes]) > 10_000
