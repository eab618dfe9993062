import base64
import importlib.util
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import toy

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore, PseudoLabelWriter
from mmlabelpenet.datasets.voc import VOCDevkit
from mmlabelpenet.structures import pseudo_instances
from mmlabelpenet.visualization.drawing import class_colours
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.browser import CHUNK, fill_page, write_browser

TOOL = Path(__file__).resolve().parents[3] / 'tools/analysis_tools/browse_pseudo_labels.py'


@pytest.fixture(scope='module')
def stores(toy_root, tmp_path_factory):
    """Labels of two stages: the objects themselves, and the objects moved by ten pixels."""
    folder, devkit = tmp_path_factory.mktemp('pseudo_labels'), VOCDevkit(toy_root, RENDERED_CLASSES)
    names = devkit.image_ids('train')
    for shift, stage in ((10, 'classification'), (0, 'detection')):
        writer = PseudoLabelWriter(folder / f'{stage}.json', dict(stage=stage))
        for k, name in enumerate(names):
            objects = devkit.objects(name)
            boxes = torch.as_tensor(objects.bboxes) + shift
            masks = np.zeros((len(boxes), toy.HEIGHT, toy.WIDTH), bool)
            for mask, (x1, y1, x2, y2) in zip(masks, boxes.int().tolist(), strict=True):
                mask[y1:y2, x1:x2] = True
            weights = torch.full((len(boxes),), 0.1 + 0.1 * ((k * 7) % 6))
            writer.add(
                name,
                devkit.image_path(name).name,
                (toy.HEIGHT, toy.WIDTH),
                pseudo_instances(boxes, torch.as_tensor(objects.labels), masks, weights),
            )
        writer.finish(names, RENDERED_CLASSES)
    return folder


@pytest.fixture(scope='module')
def page(stores, toy_root, tmp_path_factory):
    devkit = VOCDevkit(toy_root, RENDERED_CLASSES)
    loaded = {stage: PseudoLabelStore.load(stores / f'{stage}.json') for stage in ('classification', 'detection')}
    out = tmp_path_factory.mktemp('page') / 'browse.html'
    return write_browser(out, loaded, toy_root / 'JPEGImages', devkit, devkit.tags('train', 'xml'), width=200)


def data_of(page):
    text = page.read_text(encoding='utf-8')
    meta = json.loads(re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)[1])
    chunks = [json.loads(part) for part in re.findall(r'id="c\d+">(.*?)</script>', text, re.DOTALL)]
    return meta, [picture for chunk in chunks for picture in chunk]


def test_the_page_holds_every_image_instance_and_picture(page):
    meta, pictures = data_of(page)
    assert meta['classes'] == list(RENDERED_CLASSES) and meta['stages'] == ['classification', 'detection'] and meta['truth']
    assert len(meta['images']) == len(pictures) == 6
    for image, picture in zip(meta['images'], pictures):
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(picture), np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (image['h'], image['w'], 3) == (150, 200, 3)
        by_stage = [[i for i in image['i'] if i['s'] == s] for s in (0, 1)]
        assert len(by_stage[0]) == len(by_stage[1]) > 0
        assert all(i['o'] == 1 for i in by_stage[1]) and all(i['o'] < 1 for i in by_stage[0])
        assert 0 < image['d'] < 1 and image['t'] == sorted({i['c'] for i in by_stage[1]})


def test_the_page_needs_no_other_file_and_no_network(page):
    text = re.sub(r'http://www.w3.org/2000/svg', '', page.read_text(encoding='utf-8'))
    assert not re.search(r'https?://|src="(?!data:)|<link|@import|url\(', text)


def test_names_cannot_end_the_script(page):
    meta, pictures = data_of(page)
    evil = dict(meta, images=[dict(meta['images'][0], n='</script><script>alert(1)</script>')])
    assert '</script><script>alert' not in fill_page(evil, pictures[:1])


def test_stores_of_other_classes_and_no_store_are_errors(stores, tmp_path):
    store = PseudoLabelStore.load(stores / 'detection.json')
    other = PseudoLabelStore({**store.content, 'categories': [dict(id=1, name='cat')]})
    with pytest.raises(ValueError, match='different classes'):
        write_browser(tmp_path / 'a.html', dict(classification=store, detection=other), tmp_path)
    with pytest.raises(ValueError, match='nothing to show'):
        write_browser(tmp_path / 'a.html', {}, tmp_path)


def test_data_with_tags_alone_make_a_page_without_iou(stores, toy_root, tmp_path):
    store = PseudoLabelStore.load(stores / 'detection.json')
    meta, _ = data_of(write_browser(tmp_path / 'a.html', dict(labels=store), toy_root / 'JPEGImages'))
    assert not meta['truth'] and all(image['d'] == 0 and 'g' not in image for image in meta['images'])


def test_the_tool_finds_stores_and_writes_beside_them(stores, toy_root, capsys):
    spec = importlib.util.spec_from_file_location('browse_pseudo_labels', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main([str(stores), '--images', str(toy_root / 'JPEGImages'), '--devkit', str(toy_root)])
    assert (stores / 'browse.html').is_file() and 'browse.html' in capsys.readouterr().out
    assert list(tool.find_stores(stores)) == ['classification', 'detection']
    assert tool.find_stores(stores / 'detection.json') == {'detection': stores / 'detection.json'}
    with pytest.raises(FileNotFoundError, match='neither'):
        tool.main([str(toy_root)])
    with pytest.raises(ValueError, match='--images'):
        tool.main([str(stores / 'detection.json')])


def shown(dom):
    return re.findall(r'data-name="([^"]+)"', dom)


def test_a_browser_sorts_filters_and_opens(page, chromium):
    meta, _ = data_of(page)
    weight = {image['n']: image['i'][-1]['w'] for image in meta['images']}
    dom = chromium(f'{page.as_uri()}#sort=weight', '--dump-dom')
    assert 'data-ready="yes"' in dom
    assert [weight[name] for name in shown(dom)] == sorted(weight.values())
    dom = chromium(
        f'{page.as_uri()}#sort=disagreement&min=0.35&class={meta["images"][0]["i"][0]["c"]}&open={meta["images"][0]["n"]}', '--dump-dom'
    )
    label = meta['images'][0]['i'][0]['c']
    wanted = [i for i in meta['images'] if any(k['c'] == label and k['w'] >= 0.35 and k['s'] == 1 for k in i['i'])]
    assert set(shown(dom)) == {image['n'] for image in wanted}
    assert [image['d'] for name in shown(dom) for image in meta['images'] if image['n'] == name] == sorted(
        (i['d'] for i in wanted), reverse=True
    )


KEYS = """
<script>
const press = key => document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
const report = [], jot = () => report.push([document.querySelector('figure.on') && document.querySelector('figure.on').dataset.name,
  document.getElementById('one').hidden, document.getElementById('page').textContent, document.querySelectorAll('#grid figure').length,
  document.querySelectorAll('#one figure').length, document.querySelectorAll('#grid path').length > 0]);
for (const key of ['', 'ArrowRight', 'Enter', 'ArrowRight', 'Escape', 'n', 'ArrowLeft', 'm', 'p', 't']) { if (key) press(key); jot(); }
document.body.dataset.report = JSON.stringify(report);
</script></body>"""


def large_page(path, count):
    """A page of many synthetic images in three stages."""
    rng = np.random.default_rng(0)
    picture = base64.b64encode(cv2.imencode('.webp', rng.integers(0, 256, (60, 80, 3), np.uint8))[1].tobytes()).decode()
    images = []
    for k in range(count):
        instances = [
            dict(s=s, c=int(rng.integers(20)), w=round(float(rng.uniform(0.01, 1)), 3), b=[5, 5, 30, 30], p='M5 5L35 5L35 35L5 35Z')
            for s in range(3)
            for _ in range(2)
        ]
        images.append(dict(n=f'image_{k:05d}', h=60, w=80, t=[1], i=instances, d=0.5))
    colours = ['#' + ''.join(f'{v:02x}' for v in c) for c in class_colours(20).tolist()]
    classes, stages = [f'class {k}' for k in range(20)], ['classification', 'detection', 'refinement']
    meta = dict(classes=classes, colours=colours, stages=stages, truth=False, chunk=CHUNK, images=images)
    path.write_text(fill_page(meta, [picture] * count), encoding='utf-8')
    return path


def test_five_thousand_images_are_walked_with_the_keyboard(tmp_path, chromium):
    path = large_page(tmp_path / 'large.html', 5000)
    path.write_text(path.read_text(encoding='utf-8').replace('</body>', KEYS), encoding='utf-8')
    dom = chromium(path.as_uri(), '--dump-dom')
    assert dom.count('data:image/webp') <= 48 + 3 + 1  # only pictures of this page are unpacked; the script names it once
    report = json.loads(re.search(r'data-report="(.*?)"', dom)[1].replace('&quot;', '"'))
    names = [entry[0] for entry in report]
    assert names[:5] == ['image_00000', 'image_00001', 'image_00001', 'image_00002', 'image_00002']
    assert [entry[1] for entry in report[:5]] == [True, True, False, False, True]  # closed, closed, open, open, closed
    assert report[2][4] == 3 and report[0][3] == 48
    assert names[5:7] == ['image_00048', 'image_00047'] and report[5][2] == 'page 2 of 105' and report[6][2] == 'page 1 of 105'
    assert report[6][5] and not report[7][5]  # masks on and off


@pytest.mark.parametrize('width', [1400, 390])
def test_the_page_is_drawn_at_both_widths_without_sideways_scrolling(page, chromium, tmp_path, width):
    script = '<script>document.body.dataset.wide = document.documentElement.scrollWidth;</script></body>'
    probe = tmp_path / 'probe.html'
    probe.write_text(page.read_text(encoding='utf-8').replace('</body>', script), encoding='utf-8')
    dom = chromium(probe.as_uri(), '--dump-dom', size=(max(width, 500), 900))  # headless windows are at least 500 wide
    assert int(re.search(r'data-wide="(\d+)"', dom)[1]) <= max(width, 500)
    chromium(f'{page.as_uri()}#sort=iou', f'--screenshot={tmp_path / "shot.png"}', size=(width, 900))
    picture = cv2.imread(str(tmp_path / 'shot.png'))
    assert picture.shape[:2] == (900, width)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1000  # pictures are there
