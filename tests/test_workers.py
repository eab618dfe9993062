"""Processes beside the network."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from mmlabelpenet.workers import Workers


def slow_square(number):
    time.sleep(0.02 * (number % 3))  # later jobs finish earlier
    return number**2, os.getpid(), torch.get_num_threads()


@pytest.mark.parametrize('processes', [0, 1, 3])
def test_results_come_in_the_order_of_the_jobs(processes):
    with Workers(processes) as workers:
        found = list(workers.map(slow_square, range(20)))
    assert [square for square, _, _ in found] == [n**2 for n in range(20)]
    assert (os.getpid() in {pid for _, pid, _ in found}) is (processes == 0)
    assert {threads for _, _, threads in found} == {1}


def test_jobs_are_taken_ahead_of_results_but_not_without_bound():
    taken = []

    def jobs():
        for number in range(40):
            taken.append(number)
            yield number

    with Workers(2) as workers:
        results = workers.map(wait, jobs())
        next(results)
        assert 1 < len(taken) <= 10


def wait(number):
    time.sleep(0.2)
    return number


@pytest.mark.parametrize('processes', [0, 2])
def test_jobs_are_done_beside_what_follows(processes, tmp_path):
    paths = [tmp_path / str(number) for number in range(4)]
    with Workers(processes) as workers:
        futures = [workers.submit(touch, path) for path in paths]
        while not all(path.exists() for path in paths):
            time.sleep(0.01)
        assert [future.result() for future in futures] == ['0', '1', '2', '3']


def touch(path):
    path.touch()
    return path.name


def fail(number):
    raise ValueError(f'job {number}')


@pytest.mark.parametrize('processes', [0, 2])
def test_an_error_of_a_job_reaches_the_caller_and_no_process_stays(processes):
    before = multiprocessing.active_children()  # of other tests
    with pytest.raises(ValueError, match='job 0'), Workers(processes) as workers:
        list(workers.map(fail, range(5)))
    with pytest.raises(ValueError, match='job 7'), Workers(processes) as workers:
        workers.submit(fail, 7).result()
    assert not set(multiprocessing.active_children()) - set(before)


def test_processes_end_with_a_parent_that_was_killed():
    receiver, sender = multiprocessing.Pipe(duplex=False)

    def parent():
        with Workers(2) as workers:
            for _, pid, _ in workers.map(slow_square, range(1, 100)):
                sender.send(pid)
                time.sleep(0.05)

    process = multiprocessing.get_context('fork').Process(target=parent)
    process.start()
    pids = {receiver.recv() for _ in range(6)}
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    deadline = time.monotonic() + 20
    while any(is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert pids and not any(is_running(pid) for pid in pids)


def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_jobs_that_have_not_begun_are_left_out_at_the_end(tmp_path):
    with Workers(1) as workers:
        for number in range(20):
            workers.submit(touch_slowly, tmp_path / str(number))
    assert len(list(tmp_path.iterdir())) < 10


def touch_slowly(path):
    time.sleep(0.05)
    path.touch()
