from mmlabelpenet.workbench.report.report_facts import cost_rows

PHASES = [dict(name='classification', iters=2), dict(name='recurrent', iters=3)]


def test_each_phase_has_its_own_median_and_most_memory():
    lines = [dict(step=k, time=1.0 * k, data_time=0.25, memory=100 * k) for k in (1, 2, 3, 4, 5)]
    assert cost_rows(lines, PHASES) == [
        ['classification', '2', '1.50', '0.25', '200 MiB'],
        ['recurrent', '3', '4.00', '0.25', '500 MiB'],
    ]


def test_a_phase_without_log_has_dashes():
    assert cost_rows([dict(step=1, time=2.0)], PHASES) == [['classification', '2', '2.00', '–', '–'], ['recurrent', '3', '–', '–', '–']]
