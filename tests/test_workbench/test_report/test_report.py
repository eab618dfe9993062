import base64
import shutil

import cv2
import numpy as np
import pytest
from page_checks import Checker

from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report import report
from mmlabelpenet.workbench.report.report import cost_rows, write_report


@pytest.fixture(scope='module')
def written(work_dir):
    path = write_report(work_dir, test_images=2, train_images=1)
    assert path == work_dir / 'report.html'
    return path.read_text()


def test_the_report_is_well_formed_html(written):
    Checker(written)


def test_every_image_of_the_report_can_be_decoded(written):
    sources = [attributes['src'] for tag, attributes in Checker(written).seen if tag == 'img']
    assert len(sources) >= 2 * 5 + 1 + 1 + 3 + 4 + 1
    for source in sources:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(source.partition(',')[2]), np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[1] == report.WIDTH


def test_the_report_shows_every_phase_stage_and_hand_over(written):
    seen = Checker(written)
    texts = ' '.join(seen.texts)
    assert sum(tag == 'svg' for tag, _ in seen.seen) == 5
    for words in (
        '61.2',
        'labels of classification',
        'labels of detection',
        'labels of refinement',
        'attention:',
        'recurrent',
        'tools/train.py',
    ):
        assert words in texts, words
    assert '–' in texts  # null is a dash


def test_the_report_has_colours_for_light_and_dark_and_a_layout_for_phones_and_paper(written):
    for words in ('prefers-color-scheme:dark', '@media print', '(max-width:560px)', 'width=device-width'):
        assert words in written


def test_the_report_carries_the_config_escaped(written):
    assert 'some &amp; config.py' in written
    assert 'LabelPropagationLoop' in written


def test_the_report_measures_labels_and_tells_what_it_rests_on(written):
    texts = ' '.join(Checker(written).texts)
    for words in (
        'compared with the paper',
        'mean mask IoU',
        'Confusions of the last labels',
        'Best and worst labels',
        'seconds per iteration (median)',
        'Supervision card',
        'Verdict',
    ):
        assert words in texts, words


def test_data_with_tags_alone_get_a_report(work_dir, toy_root, tmp_path):
    """No annotation file, tags from a CSV: everything that can be shown is."""
    data = tmp_path / 'tagged'
    devkit = VOCDevkit(toy_root, RENDERED_CLASSES)
    shutil.copytree(toy_root / 'JPEGImages', data / 'JPEGImages')
    (data / 'ImageSets/Main').mkdir(parents=True)
    lines = ['image,tags']
    for split in ('train', 'test'):
        (data / f'ImageSets/Main/{split}.txt').write_text(''.join(f'{name}\n' for name in devkit.image_ids(split)))
        lines += [f'{name},{";".join(RENDERED_CLASSES[k] for k in labels)}' for name, labels in devkit.tags(split, 'xml').items()]
    (data / 'tags.csv').write_text('\n'.join(lines))
    copy = tmp_path / 'run'
    shutil.copytree(work_dir, copy)
    (copy / 'metrics.json').unlink()
    config = next(copy.glob('*/vis_data/config.py'))
    text = (
        config.read_text()
        + f"""
for loader in (train_dataloader, label_dataloader, test_dataloader):
    loader['dataset'].update(data_root={str(data)!r}, tags={str(data / 'tags.csv')!r})
test_evaluator['data_root'] = {str(data)!r}
"""
    )
    config.write_text(text)
    written = write_report(copy, 2, 2).read_text()
    Checker(written)
    assert 'have no annotations' in written and 'labels of refinement' in written
    assert 'class="truth"' not in written and 'Confusions' not in written


def test_a_report_without_metrics_says_so(work_dir, monkeypatch):
    monkeypatch.setattr('mmlabelpenet.workbench.report.run.read_metrics', lambda path: ({}, {}))
    assert 'Not tested' in write_report(work_dir, 1, 1).read_text()


def test_a_folder_without_training_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='contains no finished training'):
        write_report(tmp_path)


def test_each_phase_has_its_own_median_and_most_memory():
    lines = [dict(step=k, time=1.0 * k, data_time=0.25, memory=100 * k) for k in (1, 2, 3, 4, 5)]
    assert cost_rows([('classification', 2, lines[:2]), ('recurrent', 3, lines[2:])]) == [
        ['classification', '2', '1.50', '0.25', '200 MiB'],
        ['recurrent', '3', '4.00', '0.25', '500 MiB'],
    ]


def test_what_was_not_logged_is_a_dash():
    phases = [('classification', 2, [dict(step=1, time=2.0, memory='much')]), ('recurrent', 3, [])]
    assert cost_rows(phases) == [['classification', '2', '2.00', '–', '–'], ['recurrent', '3', '–', '–', '–']]
