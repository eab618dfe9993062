import base64
import json
import re
import shutil
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import toy
from mmengine.registry import init_default_scope

from mmlabelpenet.datasets.voc import VOCDevkit
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report import report
from mmlabelpenet.workbench.report.page import class_table, metrics_table, page, tile_row
from mmlabelpenet.workbench.report.panels import Tile
from mmlabelpenet.workbench.report.report import spread, write_report

VOID = {'meta', 'img', 'br', 'path', 'circle', 'polyline'}


class Checker(HTMLParser):
    """Collects tags, and sees that every one that is opened is closed in its turn."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.texts = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope='module')
def work_dir(toy_root, tmp_path_factory):
    """A toy training, tested with made-up numbers."""
    init_default_scope('mmlabelpenet')
    folder = tmp_path_factory.mktemp('reported')
    config = toy.run_config(toy_root, folder, [(name, 2) for name in (*toy.STAGES, 'recurrent')], interval=10)
    config.default_hooks.logger = dict(type='LoggerHook', interval=1)
    test = toy.dataset_config(toy_root, 'test', train=False, keep_untagged=True, test_mode=True)
    config.test_dataloader = dict(batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False), dataset=test)
    config.test_evaluator = dict(type='StageMetric', data_root=str(toy_root), split='test', mask_classes=RENDERED_CLASSES)
    config.test_cfg = dict(type='TestLoop')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('mmengine.runner.runner.collect_env', dict)  # asks compilers for their versions, for seconds
        lines = property(lambda config: '\n'.join(f'{key} = {value!r}' for key, value in config.to_dict().items()))
        patch.setattr('mmengine.config.Config.pretty_text', lines)  # formatted for seconds
        toy.build_runner(config).train()
    row = {'bbox_mAP_50_11point': 61.25, 'segm_mAP_50_area': None, 'mIoU': 12.5, 'per_class': {'mIoU': {'lolly': 12.5, 'cone': None}}}
    metrics = {stage: row for stage in toy.STAGES} | {
        'meta': {'config': 'some & config.py', 'test': {'images': 2}, 'versions': {'torch': '9'}}
    }
    (folder / 'metrics.json').write_text(json.dumps(metrics))
    return folder


@pytest.fixture(scope='module')
def written(work_dir):
    path = write_report(work_dir, test_images=2, train_images=1)
    assert path == work_dir / 'report.html'
    return path.read_text()


def test_the_report_is_well_formed_html(written):
    Checker(written)


def test_the_report_needs_no_other_file_and_no_network(written):
    assert not re.search(r'(https?:)?//[a-z]', re.sub(r'data:image/webp;base64,[A-Za-z0-9+/=]+', '', written.split('The whole config')[0]))
    for tag, attributes in Checker(written).seen:
        assert tag not in ('script', 'link', 'iframe', 'object')
        assert 'href' not in attributes
        assert attributes.get('src', 'data:').startswith('data:')
    assert '@import' not in written
    assert 'url(' not in written


def test_every_picture_of_the_report_can_be_decoded(written):
    sources = [attributes['src'] for tag, attributes in Checker(written).seen if tag == 'img']
    assert len(sources) >= 2 * 5 + 1 + 1 + 3 + 4 + 1
    for source in sources:
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(source.partition(',')[2]), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape[1] == report.WIDTH


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
        'beside the paper’s',
        'mean mask IoU',
        'Confusions of the last labels',
        'Best and worst labels',
        'seconds each (median)',
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


@pytest.mark.parametrize(('width', 'height'), [(1400, 1000), (390, 844)])
def test_the_report_is_drawn_on_screens_and_phones(written, chromium, tmp_path, width, height):
    probe = '<script>document.body.dataset.wide = document.documentElement.scrollWidth;</script></body>'
    page = tmp_path / 'report.html'
    page.write_text(written.replace('</body>', probe), encoding='utf-8')
    dom = chromium(page.as_uri(), '--dump-dom', size=(max(width, 500), height))  # headless windows are at least 500 wide
    assert int(re.search(r'data-wide="(\d+)"', dom)[1]) <= max(width, 500)
    chromium(page.as_uri(), f'--screenshot={tmp_path / "shot.png"}', size=(width, height))
    picture = cv2.imread(str(tmp_path / 'shot.png'))
    assert picture.shape[:2] == (height, width) and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_a_report_without_metrics_says_so(work_dir, monkeypatch):
    monkeypatch.setattr(report.Run, '_json', lambda self, name: {})
    assert 'Not tested' in write_report(work_dir, 1, 1).read_text()


def test_a_folder_without_training_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match='holds no finished training'):
        write_report(tmp_path)


def test_images_are_spread_from_the_first_to_the_last():
    assert spread(100, 5) == [0, 25, 50, 74, 99]
    assert spread(3, 8) == [0, 1, 2]
    assert spread(0, 3) == []


def test_a_table_shows_null_as_a_dash_and_never_as_nought():
    text = metrics_table({'detection': {'mIoU': None}, 'refinement': {'mIoU': 0.0}, 'meta': {}}, {'mIoU': 'mIoU'})
    assert re.findall(r'<td[^>]*>([^<]*)</td>', text) == ['detection', '–', 'refinement', '0.0']


def test_a_table_by_class_has_a_column_a_class_and_is_absent_where_nobody_has_the_metric():
    table = {'detection': {'per_class': {'mIoU': {'<cat>': 3.0}}}, 'refinement': {'per_class': {}}}
    assert '&lt;cat&gt;' in class_table(table, 'mIoU')
    assert class_table(table, 'CorLoc_50') == ''


def test_titles_are_escaped():
    text = page('<x>', tile_row('"y"', [Tile('input', '<t>', np.zeros((4, 4, 3), np.uint8), '<n>')]))
    Checker(text)
    assert not any(word in text for word in ('<x>', '<t>', '<n>', 'of "y"'))
