import importlib.util
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.coco_results import ResultsFile
from mmlabelpenet.evaluation.functional import encode_masks
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.exports.voc_server import check_submission, write_submission
from mmlabelpenet.workbench.voc_files import voc_palette

TOOL = Path(__file__).parents[3] / 'tools' / 'analysis_tools' / 'voc_submission.py'
SIZES = {'2008_000001': (12, 14), '2008_000002': (9, 7), '2008_000003': (5, 6)}


@pytest.fixture
def devkit(tmp_path):
    """Images and a list, nothing else: the test lists of the server have no annotations."""
    root = tmp_path / 'VOC2012'
    for folder in ('ImageSets/Main', 'JPEGImages'):
        (root / folder).mkdir(parents=True)
    (root / 'ImageSets/Main/test.txt').write_text('\n'.join(SIZES) + '\n')
    for image_id, (h, w) in SIZES.items():
        Image.new('RGB', (w, h)).save(root / 'JPEGImages' / f'{image_id}.jpg')
    return VOCDevkit(root, VOC_CLASSES)


def predictions(seed=0):
    """Three instances on the first image, five on the second, none on the third."""
    rng = np.random.default_rng(seed)
    found = []
    for image_id, count in zip(SIZES, (3, 5, 0), strict=True):
        h, w = SIZES[image_id]
        for _ in range(count):
            left, top = rng.random() * (w - 2), rng.random() * (h - 2)
            mask = rng.random((1, h, w)) < 0.5
            code = encode_masks(mask)[0]
            found.append({
                'image_id': image_id, 'category_id': int(rng.integers(1, 21)), 'score': float(rng.random()),
                'bbox': [left, top, rng.random() * (w - left), rng.random() * (h - top)], 'mask': mask[0],
                'segmentation': {'size': code['size'], 'counts': code['counts'].decode()},
            })  # fmt: skip
    return found


def results(tmp_path, devkit, found, keys=('image_id', 'category_id', 'score', 'bbox', 'segmentation')):
    path = tmp_path / 'results.json'
    path.write_text(json.dumps([{key: entry[key] for key in keys} for entry in found]))
    return ResultsFile(path, devkit.result_names('test'), devkit.image_size)


def members(path):
    with tarfile.open(path) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


@pytest.mark.parametrize('competition', ['comp4', 'comp6'])
def test_a_list_named_with_its_folder_gives_members_named_without_it(tmp_path, devkit, competition):
    lists = devkit.data_root / 'ImageSets'
    (lists / 'Segmentation').mkdir(exist_ok=True)
    (lists / 'Segmentation/test.txt').write_text((lists / 'Main/test.txt').read_text())
    submission = write_submission(tmp_path / 'a.tar.gz', competition, devkit, 'Segmentation/test', results(tmp_path, devkit, predictions()))
    assert submission.split == 'test' and all('Segmentation/test' not in name for name in members(tmp_path / 'a.tar.gz'))


@pytest.mark.parametrize('competition', ['comp3', 'comp4'])
def test_detections_come_back_with_their_scores_and_one_based_inclusive_boxes(tmp_path, devkit, competition):
    found = predictions()
    path = tmp_path / 'out' / 'a.tar.gz'
    submission = write_submission(path, competition, devkit, 'test', results(tmp_path, devkit, found))
    assert submission == (competition, 'VOC2012', 'test', 8)
    assert check_submission(path, devkit, 'test') == submission
    files = members(path)
    assert set(files) == {f'results/VOC2012/Main/{competition}_det_test_{name}.txt' for name in VOC_CLASSES}
    for label, name in enumerate(VOC_CLASSES, 1):
        lines = files[f'results/VOC2012/Main/{competition}_det_test_{name}.txt'].decode().splitlines()
        expected = [entry for entry in found if entry['category_id'] == label]
        assert [line.split()[0] for line in lines] == [entry['image_id'] for entry in expected]
        for line, entry in zip(lines, expected, strict=True):
            score, *box = map(float, line.split()[1:])
            left, top, width, height = entry['bbox']
            assert score == entry['score']  # to the last bit
            assert box == [left + 1, top + 1, left + width, top + height]


@pytest.mark.parametrize('competition', ['comp5', 'comp6'])
def test_class_maps_show_the_best_scored_instance_of_each_pixel_in_vocs_colours(tmp_path, devkit, competition):
    found = predictions()
    path = tmp_path / 'a.tar.gz'
    submission = write_submission(path, competition, devkit, 'test', results(tmp_path, devkit, found), score_thr=0.2)
    assert submission == (competition, 'VOC2012', 'test', 3)
    files = members(path)
    assert set(files) == {f'results/VOC2012/Segmentation/{competition}_test_cls/{image_id}.png' for image_id in SIZES}
    for image_id, size in SIZES.items():
        with Image.open(io.BytesIO(files[f'results/VOC2012/Segmentation/{competition}_test_cls/{image_id}.png'])) as opened:
            values = np.asarray(opened)
            assert opened.mode == 'P'
            assert opened.getpalette()[: 3 * 21] == voc_palette()[: 3 * 21]
        expected = np.zeros(size, int)
        for entry in sorted((entry for entry in found if entry['image_id'] == image_id), key=lambda entry: entry['score']):
            if entry['score'] >= 0.2:
                expected[entry['mask']] = entry['category_id']
        np.testing.assert_array_equal(values, expected)


def test_the_same_results_give_the_same_bytes_at_any_time(tmp_path, devkit, monkeypatch):
    for name, seconds in (('a', 1e9), ('b', 2e9)):
        monkeypatch.setattr('time.time', lambda seconds=seconds: seconds)
        write_submission(tmp_path / f'{name}.tar.gz', 'comp4', devkit, 'test', results(tmp_path, devkit, predictions()))
    assert (tmp_path / 'a.tar.gz').read_bytes() == (tmp_path / 'b.tar.gz').read_bytes()


def test_no_detections_at_all_are_twenty_empty_files(tmp_path, devkit):
    path = tmp_path / 'a.tar.gz'
    assert write_submission(path, 'comp4', devkit, 'test', results(tmp_path, devkit, [])).entries == 0
    assert set(members(path).values()) == {b''}


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(competition='comp1'), "got 'comp1'"),
        (dict(path='a.zip'), "must end in '.tar.gz'"),
        (dict(year='2012'), "must be like 'VOC2012', got '2012'"),
    ],
)
def test_what_the_server_does_not_know_is_refused(tmp_path, devkit, changes, message):
    arguments = dict(path='a.tar.gz', competition='comp4', devkit=devkit, split='test', results=results(tmp_path, devkit, [])) | changes
    with pytest.raises(ValueError, match=message):
        write_submission(**arguments | dict(path=tmp_path / arguments['path']))


def test_class_maps_without_masks_are_refused_and_nothing_is_written(tmp_path, devkit):
    boxes = results(tmp_path, devkit, predictions(), keys=('image_id', 'category_id', 'score', 'bbox'))
    with pytest.raises(ValueError, match='comp6 needs masks'):
        write_submission(tmp_path / 'a.tar.gz', 'comp6', devkit, 'test', boxes)
    assert not list(tmp_path.glob('*a.tar.gz*'))


LINE = 'results/VOC2012/Main/comp4_det_test_cat.txt'
MAP = 'results/VOC2012/Segmentation/comp6_test_cls/2008_000001.png'


def png(values, mode='L'):
    content = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).convert(mode).save(content, 'PNG')
    return content.getvalue()


BROKEN = [
    ('comp4', {LINE: None}, "lacks 1 of 20 files, the first for 'cat'"),
    ('comp4', {'results/VOC2012/Main/comp4_det_test_yak.txt': b''}, "'yak', which is not a class"),
    ('comp4', {'results/VOC2012/Main/comp3_det_test_dog.txt': b''}, 'is of comp3 VOC2012 test, expected comp4'),
    ('comp4', {'results/VOC2012/Main/comp4_det_val_dog.txt': b''}, 'is of comp4 VOC2012 val, expected comp4 VOC2012 test'),
    ('comp4', {'readme.txt': b''}, "'readme.txt' .*is not a result file known to the server"),
    ('comp4', {LINE: b'2008_000009 0.5 1 1 2 2\n'}, "Line 1 of .*names '2008_000009'"),
    ('comp4', {LINE: b'2008_000001 0.5 1 1 2 2\n2008_000001 nan 1 1 2 2\n'}, 'Line 2 of .*should be'),
    ('comp4', {LINE: b'2008_000001 0.5 1 1 2\n'}, 'Line 1 of .*should be'),
    ('comp4', {LINE: b'2008_000001 x 1 1 2 2\n'}, 'Line 1 of .*should be'),
    ('comp4', {LINE: b'2008_000001 0.5 9 1 2 2\n'}, 'ends before it begins'),
    ('comp6', {MAP: None}, "lacks 1 of 3 files, the first for '2008_000001'"),
    ('comp6', {MAP: b'no image'}, 'is not readable'),
    ('comp6', {MAP: png(np.full((12, 14), 21))}, 'contains the value 21'),
    ('comp6', {MAP: png(np.zeros((14, 12)))}, r'has the size \(14, 12\), the image \(12, 14\)'),
    ('comp6', {MAP: png(np.zeros((12, 14)), 'RGB')}, 'its mode is RGB'),
    ('comp6', {MAP.replace('000001', '000009'): png(np.zeros((12, 14)))}, 'image that is not in the split'),
]


@pytest.mark.parametrize(('competition', 'changes', 'message'), BROKEN)
def test_the_reader_names_the_member_that_is_wrong(tmp_path, devkit, competition, changes, message):
    path = tmp_path / 'a.tar.gz'
    write_submission(path, competition, devkit, 'test', results(tmp_path, devkit, predictions()))
    content = {name: data for name, data in (members(path) | changes).items() if data is not None}
    with tarfile.open(path, 'w:gz') as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    with pytest.raises(ValueError, match=message):
        check_submission(path, devkit, 'test')


def test_damaged_empty_and_linking_archives_are_refused(tmp_path, devkit):
    path = tmp_path / 'a.tar.gz'
    path.write_bytes(b'no archive')
    with pytest.raises(ValueError, match='not a valid archive'):
        check_submission(path, devkit, 'test')
    with tarfile.open(path, 'w:gz'):
        pass
    with pytest.raises(ValueError, match='is empty'):
        check_submission(path, devkit, 'test')
    with tarfile.open(path, 'w:gz') as archive:
        link = tarfile.TarInfo(LINE)
        link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
        archive.addfile(link)
    with pytest.raises(ValueError, match='not a plain file'):
        check_submission(path, devkit, 'test')


def test_the_command_writes_checks_and_reports_errors(tmp_path, devkit, capsys):
    spec = importlib.util.spec_from_file_location('voc_submission', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    results(tmp_path, devkit, predictions())
    root, archive, path = str(devkit.data_root), str(tmp_path / 'a.tar.gz'), str(tmp_path / 'results.json')
    tool.main(['write', 'comp4', root, 'test', path, archive])
    tool.main(['check', archive, root, 'test'])
    assert capsys.readouterr().out.count('comp4, VOC2012 test, 8 detections') == 2
    with pytest.raises(ValueError, match=r'results\.json'):
        tool.main(['check', path, root, 'test'])
