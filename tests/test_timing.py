import time

import pytest

from mmlabelpenet.timing import Stopwatch


def test_seconds_of_a_part_add_up_and_leave_out_the_parts_inside():
    watch = Stopwatch()
    watch.start()
    for _ in range(2):
        with watch.part('outer'):
            time.sleep(0.01)
            with watch.part('inner'):
                time.sleep(0.03)
    spent = watch.stop()
    assert spent['inner'] == pytest.approx(0.06, rel=0.5) and spent['outer'] == pytest.approx(0.02, rel=0.5)


def test_a_watch_that_does_not_run_measures_nothing():
    watch = Stopwatch()
    with watch.part('a'):
        pass
    watch.start()
    assert watch.stop() == {}
    with watch.part('b'):
        pass
    watch.start()
    assert watch.stop() == {}


def test_a_part_that_fails_is_measured_too():
    watch = Stopwatch()
    watch.start()
    with pytest.raises(ValueError), watch.part('a'):
        raise ValueError
    assert list(watch.stop()) == ['a']


@pytest.mark.parametrize('asked', [False, True])
def test_a_part_waits_for_the_gpu_only_where_that_is_asked_for(monkeypatch, asked):
    waited, watch = [], Stopwatch()
    monkeypatch.setattr('torch.cuda.is_initialized', lambda: True)
    monkeypatch.setattr('torch.cuda.synchronize', lambda: waited.append(True))
    watch.start(**dict(synchronize=True) if asked else {})
    with watch.part('a'):
        pass
    assert bool(waited) is asked
