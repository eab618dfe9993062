"""The benchmark framework: what it times, in which order, and what it writes."""

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

TOOLS = Path(__file__).resolve().parents[1] / 'tools/analysis_tools'
CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def _import_tools(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture
def clocked(monkeypatch):
    """A comparison whose variants say how long they took, and the log of its calls."""
    import comparison

    log = []

    def timed(run, device):
        log.append(run.__name__)
        return run()

    monkeypatch.setattr(comparison, 'timed', timed)
    return log


def variants(**seconds):
    """Functions by name; each call returns the next of its numbers."""
    functions = {}
    for name, values in seconds.items():
        functions[name] = partial(next, iter(values))
        functions[name].__name__ = name
    return functions


def test_the_ratio_is_the_median_of_the_rounds_and_the_warm_up_does_not_count(clocked):
    from comparison import Comparison, measure

    given = variants(ours=[99, 2, 30, 8], plain=[1, 1, 10, 2])
    result = measure(Comparison('c', given, reach=3.0, runs=3), CPU)
    assert result['ratio'] == 3.0 and result['holds'] is True  # of 2, 3 and 4
    assert result['median_s'] == dict(ours=8, plain=2) and result['seconds'] == dict(ours=[2, 30, 8], plain=[1, 10, 2])
    assert result['spread_s']['ours'] == 14.0 and result['runs'] == 3


def test_variants_alternate_and_every_second_round_runs_backwards(clocked):
    from comparison import Comparison, measure

    prepared = []
    given = variants(a=[1] * 4, b=[1] * 4)
    measure(Comparison('c', given, runs=3, prepare=lambda: prepared.append(len(clocked))), CPU)
    assert clocked == ['b', 'a', 'a', 'b', 'b', 'a', 'a', 'b']
    assert prepared == list(range(8))


@pytest.mark.parametrize(('reach', 'at_least', 'holds'), [(1.0, False, False), (2.0, False, True), (2.0, True, True), (2.1, True, False)])
def test_a_reach_is_a_limit_from_above_or_from_below(clocked, reach, at_least, holds):
    from comparison import Comparison, measure

    given = variants(a=[2, 2], b=[1, 1])
    assert measure(Comparison('c', given, reach=reach, at_least=at_least, runs=1), CPU)['holds'] is holds


def test_a_comparison_without_a_reach_neither_holds_nor_fails(clocked):
    from comparison import Comparison, measure

    assert measure(Comparison('c', variants(a=[2, 2], b=[1, 1]), runs=1), CPU)['holds'] is None


def test_a_ratio_may_be_any_function_of_a_round(clocked):
    from comparison import Comparison, measure

    given = variants(whole=[10, 10], part=[4, 4], other=[5, 5])
    result = measure(Comparison('c', given, ratio=lambda s: (s['whole'] - s['part'] - s['other']) / s['whole'], runs=1), CPU)
    assert result['ratio'] == pytest.approx(0.1)


def test_seconds_that_a_variant_measures_itself_count_as_those_of_the_round(clocked):
    from comparison import Comparison, measure

    inside = iter([1, 3])
    given = variants(whole=[99, 4, 4])
    result = measure(Comparison('c', given, ratio=lambda s: s['part'] / s['whole'], runs=2, parts=lambda: dict(part=next(inside))), CPU)
    assert result['ratio'] == 0.5 and result['seconds'] == dict(whole=[4, 4], part=[1, 3])


def test_a_comparison_needs_rounds_and_variants():
    from comparison import Comparison

    with pytest.raises(ValueError, match="'c' needs a round and a variant"):
        Comparison('c', {})
    with pytest.raises(ValueError, match='got 0'):
        Comparison('c', variants(a=[1]), runs=0)


def test_time_is_that_of_the_call():
    import time

    from comparison import timed

    assert 0.03 <= timed(lambda: time.sleep(0.03), CPU) < 0.3


def test_with_cpu_time_waiting_takes_none(monkeypatch):
    import benchmark
    import comparison

    monkeypatch.setattr(comparison, 'clocks', [time.perf_counter])
    nap = partial(time.sleep, 0.1)
    assert comparison.timed(nap, CPU) >= 0.1
    assert benchmark.use_cpu_time() == {'clock': 'processor'}
    assert comparison.timed(nap, CPU) < 0.05


def test_results_are_written_as_a_list_of_objects(tmp_path, monkeypatch, capsys):
    import benchmark
    from comparison import Comparison, measure

    monkeypatch.setattr(benchmark, 'suite_names', lambda: ['mil', 'start'])
    comparison = Comparison('c', variants(a=[2] * 9, b=[1] * 9), reach=1.0, runs=2)
    monkeypatch.setattr('comparison.timed', lambda run, device: run())
    monkeypatch.setattr(benchmark, 'run_suite', lambda name, device, runs: [measure(comparison, device)] if name == 'mil' else [])
    benchmark.main(['--suite', 'mil', 'start', '--json', str(tmp_path / 'out/results.json')])
    (written,) = json.loads((tmp_path / 'out/results.json').read_text())
    assert {
        'suite',
        'comparison',
        'ratio',
        'reach',
        'holds',
        'median_s',
        'runs',
        'device',
        'threads',
        'versions',
        'shapes',
    } <= written.keys()
    assert (written['suite'], written['comparison'], written['ratio'], written['holds']) == ('mil', 'c', 2.0, False)
    assert 'not reached: mil, c' in capsys.readouterr().out


def test_help_names_the_suites_without_importing_torch():
    code = 'import runpy, sys; sys.argv = ["benchmark.py", "--help"]; sys.excepthook = lambda *_: None\n'
    code += f'try: runpy.run_path({str(TOOLS / "benchmark.py")!r}, run_name="__main__")\nfinally: sys.exit("torch" in sys.modules)'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.returncode == 0 and 'mil' in done.stdout, done.stderr
