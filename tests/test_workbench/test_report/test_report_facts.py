from mmlabelpenet.workbench.report.report_facts import cost_rows


def test_each_phase_has_its_own_median_and_most_memory():
    lines = [dict(step=k, time=1.0 * k, data_time=0.25, memory=100 * k) for k in (1, 2, 3, 4, 5)]
    assert cost_rows([('classification', 2, lines[:2]), ('recurrent', 3, lines[2:])]) == [
        ['classification', '2', '1.50', '0.25', '200 MiB'],
        ['recurrent', '3', '4.00', '0.25', '500 MiB'],
    ]


def test_what_was_not_logged_is_a_dash():
    phases = [('classification', 2, [dict(step=1, time=2.0, memory='much')]), ('recurrent', 3, [])]
    assert cost_rows(phases) == [['classification', '2', '2.00', '–', '–'], ['recurrent', '3', '–', '–', '–']]
