from mmlabelpenet.workbench.report.report_quality import headline, lift, paper_map, per_class


def test_the_lift_stands_beside_the_papers():
    rows = lift({stage: {'bbox_mAP_50_11point': value} for stage, value in zip(paper_map(), (10.0, 20.0, 30.0, 40.0))})
    assert [row['own'] for row in rows.values()] == [10, 20, 30, 40] and [row['own_share'] for row in rows.values()] == [25, 50, 75, 100]
    assert [row['paper'] for row in rows.values()] == [26.9, 39.1, 49.7, 51.3] and rows['segmentation']['paper_share'] == 100


def test_a_stage_that_was_not_measured_has_no_lift():
    rows = lift({'classification': {'bbox_mAP_50_11point': None}, 'detection': {'bbox_mAP_50_11point': 20.0}})
    assert rows['classification']['own'] is None is rows['classification']['own_share']
    assert (rows['detection']['own'], rows['detection']['own_share']) == (20, 100)


def test_a_stage_that_the_paper_lacks_has_a_lift_of_its_own():
    rows = lift({'detection': {'bbox_mAP_50_11point': 10.0}, 'polishing': {'bbox_mAP_50_11point': 40.0}})
    assert rows['detection']['own_share'] == 25 and rows['polishing'] == dict(own=40, own_share=100, paper=None, paper_share=None)


def test_nothing_measured_is_nothing():
    assert lift({}) == {} == lift({'detection': {'mIoU': 3.0}})
    assert headline({}) == {}


def test_a_table_by_class_is_absent_where_nobody_has_the_metric():
    found = per_class({'detection': {'per_class': {'mIoU': {'<cat>': 3.0}}}, 'refinement': {'per_class': {}}})
    assert found == {'mIoU': ({'<cat>': '<cat>'}, {'detection': {'<cat>': 3.0}, 'refinement': {}})}
