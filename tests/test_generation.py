"""Every worker's bump is seen by all workers of the host."""

import multiprocessing

import pytest

from vecguard.generation import Generation


def test_a_single_process_needs_no_file():
    generation = Generation(None, 1, 0)
    before = generation.current()
    assert generation.current() == before
    generation.bump()
    assert generation.current() != before


def test_workers_see_each_others_bumps(tmp_path):
    file = tmp_path / "generation"
    workers = [Generation(file, 3, number) for number in range(3)]
    seen = {workers[0].current()}
    for worker in workers:
        for _ in range(2):
            worker.bump()
            values = {other.current() for other in workers}
            assert len(values) == 1
            assert not values & seen
            seen |= values
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_worker_that_starts_again_goes_on_where_it_was(tmp_path):
    file = tmp_path / "generation"
    Generation(file, 2, 1).bump()
    again = Generation(file, 2, 1)
    before = again.current()
    assert before == 1
    again.bump()
    assert Generation(file, 2, 0).current() == 2


def _bump(file, number):
    generation = Generation(file, 2, number)
    for _ in range(1000):
        generation.bump()


def test_bumps_at_the_same_time_are_all_counted(tmp_path):
    file = tmp_path / "generation"
    fresh = multiprocessing.get_context("spawn")  # a fork would copy the threads' locks of other tests
    processes = [fresh.Process(target=_bump, args=(file, number)) for number in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert Generation(file, 2, 0).current() == 2000


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        Generation(tmp_path / "gone" / "generation", 1, 0)
