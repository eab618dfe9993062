import base64
import importlib.util
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmlabelpenet.datasets.pseudo_labels import PseudoLabelStore
from mmlabelpenet.workbench.quickstart.rendered import RENDERED_CLASSES
from mmlabelpenet.workbench.report.browser import write_browser, write_browser_page

TOOL = Path(__file__).resolve().parents[3] / 'tools/analysis_tools/browse_pseudo_labels.py'


def data_of(page):
    text = page.read_text(encoding='utf-8')
    meta = json.loads(re.search(r'id="meta">(.*?)</script>', text, re.DOTALL)[1])
    chunks = [json.loads(part) for part in re.findall(r'id="c\d+">(.*?)</script>', text, re.DOTALL)]
    return meta, [thumb for chunk in chunks for thumb in chunk]


def test_the_page_holds_every_image_instance_and_image(labels_page):
    meta, thumbs = data_of(labels_page)
    assert meta['classes'] == list(RENDERED_CLASSES) and meta['stages'] == ['classification', 'detection'] and meta['truth']
    assert len(meta['images']) == len(thumbs) == 6
    for image, thumb in zip(meta['images'], thumbs):
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(thumb), np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (image['h'], image['w'], 3) == (150, 200, 3)
        by_stage = [[i for i in image['i'] if i['s'] == s] for s in (0, 1)]
        assert len(by_stage[0]) == len(by_stage[1]) > 0
        assert all(i['o'] == 1 for i in by_stage[1]) and all(i['o'] < 1 for i in by_stage[0])
        assert 0 < image['d'] < 1 and image['t'] == sorted({i['c'] for i in by_stage[1]})


def test_the_page_needs_no_other_file_and_no_network(labels_page):
    text = re.sub(r'http://www.w3.org/2000/svg', '', labels_page.read_text(encoding='utf-8'))
    assert not re.search(r'https?://|src="(?!data:)|<link|@import|url\(', text)


def test_names_cannot_end_the_script(labels_page, tmp_path):
    meta, thumbs = data_of(labels_page)
    evil = '</script><script>alert(1)</script><!-- \u2028 &amp; \udcff'
    path = write_browser_page(tmp_path / 'a.html', dict(meta, images=[dict(meta['images'][0], n=evil)]), thumbs[:1])
    text = path.read_text(encoding='utf-8')
    assert text.count('<script') == labels_page.read_text(encoding='utf-8').count('<script') and '\u2028' not in text
    assert data_of(path)[0]['images'][0]['n'] == evil


def test_stores_of_other_classes_and_no_store_are_errors(stores, tmp_path):
    store = PseudoLabelStore.load(stores / 'detection.json')
    other = PseudoLabelStore(
        {**store.content, 'categories': [dict(entry, name=f'other {entry["id"]}') for entry in store.content['categories']]}
    )
    with pytest.raises(ValueError, match='different classes'):
        write_browser(tmp_path / 'a.html', dict(classification=store, detection=other), tmp_path)
    with pytest.raises(ValueError, match='nothing to show'):
        write_browser(tmp_path / 'a.html', {}, tmp_path)


def test_data_with_tags_alone_make_a_page_without_iou(stores, toy_root, tmp_path):
    store = PseudoLabelStore.load(stores / 'detection.json')
    meta, _ = data_of(write_browser(tmp_path / 'a.html', dict(labels=store), toy_root / 'JPEGImages'))
    assert not meta['truth'] and all(image['d'] == 0 and 'g' not in image for image in meta['images'])


def test_labels_without_masks_sizes_and_file_names_have_boxes_in_the_page(stores, toy_root, tmp_path):
    content = PseudoLabelStore.load(stores / 'detection.json').content
    images = [dict(id=image['id'], img_id=image['img_id']) for image in content['images']]
    notes = [dict(note, segmentation=None) for note in content['annotations']]
    store = PseudoLabelStore(dict(content, images=images, annotations=notes))
    meta, _ = data_of(write_browser(tmp_path / 'a.html', dict(labels=store), toy_root / 'JPEGImages'))
    found = [instance for image in meta['images'] for instance in image['i']]
    assert len(found) == len(notes) and not any(instance['p'] for instance in found) and all(instance['b'] for instance in found)


def test_the_tool_finds_stores_and_writes_beside_them(stores, toy_root, capsys):
    spec = importlib.util.spec_from_file_location('browse_pseudo_labels', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main([str(stores), '--images', str(toy_root / 'JPEGImages'), '--devkit', str(toy_root)])
    assert (stores / 'browse.html').is_file() and 'browse.html' in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match='neither'):
        tool.main([str(toy_root)])
    with pytest.raises(ValueError, match='--images'):
        tool.main([str(stores / 'detection.json')])


def test_a_folder_is_rejected_as_a_page_before_images_are_read(tmp_path, monkeypatch, load_tool):
    monkeypatch.setattr('mmlabelpenet.workbench.report.browser.write_browser', None)
    with pytest.raises(ValueError, match='Results are written to a file'):
        load_tool('analysis_tools/browse_pseudo_labels.py').main(['store.json', '--out', str(tmp_path)])
