"""Evaluation keeps a few numbers per instance, never its mask: measured on files of two lengths."""

import importlib.util
import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.evaluation.functional import encode_masks

TOOL = Path(__file__).parents[2] / 'tools' / 'analysis_tools' / 'eval_predictions.py'
SIZE, MASKS = (375, 500), 50
PIXELS = SIZE[0] * SIZE[1]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('eval_predictions_memory', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(root, count):
    """Images with two objects each and fifty predicted masks of VOC's usual size; all images are links to one."""
    rng = np.random.default_rng(0)
    masks = np.zeros((6, *SIZE), bool)
    for mask in masks:
        top, left = rng.integers(0, 200, 2)
        mask[top : top + rng.integers(30, 170), left : left + rng.integers(30, 290)] = True
        mask &= rng.random(SIZE) < 0.96  # holes, so that a code is not a few characters
    codes = [dict(size=code['size'], counts=code['counts'].decode()) for code in encode_masks(masks)]
    instances = masks[0] + 2 * (masks[1] & ~masks[0]).astype(np.uint8)
    boxes = '<object><name>cat</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>99</xmax><ymax>99</ymax></bndbox></object>'
    folders = ('Annotations', 'ImageSets/Main', 'JPEGImages', 'SegmentationClass', 'SegmentationObject')
    for folder in folders:
        (root / folder).mkdir(parents=True)
    (root / 'a.xml').write_text(f'<annotation>{boxes}</annotation>')
    Image.new('RGB', SIZE[::-1]).save(root / 'a.jpg')
    for name, values in (('object', instances), ('class', 8 * (instances > 0))):
        image = Image.fromarray(values.astype(np.uint8), mode='P')
        image.putpalette([0] * 768)
        image.save(root / f'{name}.png')
    image_ids = [f'2007_{number:06d}' for number in range(count)]
    (root / 'ImageSets/Main/val.txt').write_text('\n'.join(image_ids))
    entries = []
    for image_id in image_ids:
        for source, target in (('a.xml', 'Annotations'), ('a.jpg', 'JPEGImages'), ('object.png', folders[4]), ('class.png', folders[3])):
            os.link(root / source, root / target / f'{image_id}{source[-4:]}')
        for number in range(MASKS):
            entry = dict(image_id=image_id, category_id=int(rng.integers(1, 21)), score=(number + 1) / MASKS)
            entries.append(dict(entry, id=len(entries), segmentation=codes[rng.integers(len(codes))]))
    (root / 'results.json').write_text(json.dumps(entries))
    return root


def peak(tool, root):
    """Peak memory of evaluation in bytes, and memory at its end."""
    args = tool.parse_args([str(root), 'val', str(root / 'results.json')])
    tracemalloc.start()
    try:
        table, _ = tool.evaluate(args)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_grows_by_a_few_numbers_an_instance_and_not_by_its_mask(tool, tmp_path, capsys):
    short, long = 16, 36  # the shorter file is longer than what is read of it at once, 1 MiB
    peak(tool, write(tmp_path / 'first', 2))  # imports
    few, many = (peak(tool, write(tmp_path / f'{count}', count)) for count in (short, long))
    grown = (many - few) / (long - short) / MASKS
    text = (tmp_path / f'{long}' / 'results.json').stat().st_size / long / MASKS
    assert short * MASKS * text > 1 << 20
    assert grown < 400  # bytes an instance
    assert grown < 0.5 * text < PIXELS  # less than what stands in the file, let alone the pixels
    assert few < MASKS * PIXELS  # not even one image's masks, as pixels
