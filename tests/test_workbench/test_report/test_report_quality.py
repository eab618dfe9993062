import re

from mmlabelpenet.workbench.report.report_quality import PAPER, lift


def numbers(text):
    return [[float(cell) if cell != '–' else None for cell in re.findall(r'>([\d.]+|–)</td>', row)] for row in text.split('<tr>')[2:]]


def test_the_lift_stands_beside_the_papers():
    metrics = {stage: {'bbox_mAP_50_11point': value} for stage, value in zip(PAPER, (10.0, 20.0, 30.0, 40.0))}
    rows = numbers(lift({**metrics, 'meta': {}}))
    assert [row[0] for row in rows] == [10, 20, 30, 40] and [row[1] for row in rows] == [25, 50, 75, 100]
    assert [row[2] for row in rows] == [26.9, 39.1, 49.7, 51.3] and rows[-1][3] == 100


def test_a_stage_that_was_not_measured_is_a_dash():
    rows = numbers(lift({'classification': {'bbox_mAP_50_11point': None}, 'detection': {'bbox_mAP_50_11point': 20.0}}))
    assert rows[0][:2] == [None, None] and rows[1][:2] == [20, 100]


def test_nothing_measured_is_nothing():
    assert lift({}) == '' == lift({'detection': {'mIoU': 3.0}, 'meta': {}})
