"""The list of blocked principals: what one process writes, another heeds at its next call."""

import time

import pytest

from vecguard.blocks import Blocks
from vecguard.errors import Blocked, ConfigError


def test_a_block_holds_in_another_process_from_its_next_call_on(tmp_path):
    operator, worker = Blocks(tmp_path / "blocks"), Blocks(tmp_path / "blocks")
    worker.require_free("ada")
    operator.block("ada", None, "crawls")
    with pytest.raises(Blocked, match="blocked by the operator") as refusal:
        worker.require_free("ada")
    assert "crawls" not in str(refusal.value)
    worker.require_free("bob")
    assert operator.pardon("ada")
    worker.require_free("ada")
    assert not operator.pardon("ada")


def test_a_block_ends_with_its_time(tmp_path):
    blocks = Blocks(tmp_path / "blocks")
    blocks.block("ada", 2.0, "")
    with pytest.raises(Blocked):
        blocks.require_free("ada")
    time.sleep(2.05)
    blocks.require_free("ada")
    assert blocks.held() == {}


def test_blocks_outlive_a_restart(tmp_path):
    Blocks(tmp_path / "blocks").block("ada", None, "x")
    assert Blocks(tmp_path / "blocks").held()["ada"].reason == "x"
    assert (tmp_path / "blocks").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", ["", "[]", '{"ada": {}}', '{"ada": {"since": 1, "more": 2}}'])
def test_a_damaged_list_lets_nobody_in(tmp_path, content):
    blocks = Blocks(tmp_path / "blocks")
    (tmp_path / "blocks").write_text(content)
    with pytest.raises(ConfigError, match="cannot be read"):
        blocks.require_free("ada")
    with pytest.raises(ConfigError, match="cannot be read"):
        Blocks(tmp_path / "blocks")
