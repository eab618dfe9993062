import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from mmlabelpenet.workbench.exports.coco import write_coco
from mmlabelpenet.workbench.exports.labels import decode, has_mask


def load(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


@pytest.mark.parametrize('polygons', [False, True])
def test_pycocotools_reads_every_box_and_every_pixel(labels, images, notes, tmp_path, polygons):
    (path,) = write_coco(labels, tmp_path / 'out', images, polygons=polygons)
    coco = load(path)
    assert len(coco.getAnnIds()) == 28 and [c['name'] for c in coco.loadCats(coco.getCatIds())] == list(labels.classes)
    for image, (name, wanted) in zip(coco.loadImgs(coco.getImgIds()), notes.items(), strict=True):
        assert (tmp_path / 'out/images' / image['file_name']).is_file(), name
        for note, annotation in zip(coco.loadAnns(coco.getAnnIds(image['id'])), wanted, strict=True):
            assert (note['bbox'], note['category_id']) == (annotation['bbox'], annotation['category_id'])
            assert note['weight'] == annotation['weight'] and note['area'] > 0
            if has_mask(annotation) or not polygons:
                assert np.array_equal(coco.annToMask(note), decode(annotation)), name
            if has_mask(annotation):
                assert note['area'] == decode(annotation).sum()


def test_an_object_with_a_box_only_has_the_area_of_its_box(labels, notes, tmp_path):
    for polygons in (False, True):
        (path,) = write_coco(labels, tmp_path, polygons=polygons)
        written = {note['id']: note for note in json.loads(path.read_text())['annotations']}
        for annotation in (note for found in notes.values() for note in found if not has_mask(note)):
            note = written[annotation['id']]
            assert note['area'] == annotation['bbox'][2] * annotation['bbox'][3] > 0
            assert note['segmentation'] == ([] if polygons else annotation['segmentation'])


def test_labels_alone_can_be_written_and_divided(labels, tmp_path):
    train, val = write_coco(labels, tmp_path, val_share=0.3)
    assert len(load(train).getImgIds()) + len(load(val).getImgIds()) == 16
    assert not (tmp_path / 'images').exists()
