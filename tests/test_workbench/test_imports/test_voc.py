import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmlabelpenet.workbench.exports.voc import write_voc
from mmlabelpenet.workbench.imports.voc import read_voc

XML = '<annotation><filename>a.jpg</filename><size><width>30</width><height>20</height></size>{}</annotation>'
OBJECT = '<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>'


def foreign(folder, *objects, values=None):
    (folder / 'Annotations').mkdir()
    (folder / 'Annotations/a.xml').write_text(XML.format(''.join(OBJECT.format(*item) for item in objects)))
    if values is not None:
        (folder / 'SegmentationObject').mkdir()
        Image.fromarray(values).save(folder / 'SegmentationObject/a.png')
    return folder


def test_masks_of_other_devkits_go_to_the_boxes_that_they_fill(tmp_path):
    values = np.zeros((20, 30), np.uint8)
    values[1:6, 1:6], values[8:18, 10:20], values[7, 9:21] = 9, 4, 255
    (image,) = read_voc(foreign(tmp_path, ('dog', 11, 9, 20, 18), ('cat', 2, 2, 6, 6), ('cat', 25, 1, 30, 4), values=values))
    assert [item.bbox for item in image.objects] == [(10, 8, 10, 10), (1, 1, 5, 5), (24, 0, 6, 4)]
    assert [int(coco_mask.area(item.segmentation)) for item in image.objects] == [100, 25, 0]
    assert not any(item.as_exported for item in image.objects)


def test_a_corrected_box_and_a_corrected_mask_count_as_drawn_by_hand(labels, images, tmp_path):
    write_voc(labels, tmp_path, images)
    path = tmp_path / 'Annotations/UPPER.xml'
    path.write_text(path.read_text().replace('<xmin>21<', '<xmin>5<'))
    path = tmp_path / 'SegmentationObject/plain.png'
    with Image.open(path) as opened:
        values = np.asarray(opened).copy()
    values[:3, :3] = 2
    Image.fromarray(values).save(path)
    found = {image.name: image for image in read_voc(tmp_path)}
    (item,) = found['UPPER.JPG'].objects
    assert (item.bbox[0], item.weight, item.as_exported) == (4.0, 1.0, False)
    assert [item.as_exported for item in found['plain.jpg'].objects] == [True, False, True]
    assert coco_mask.decode(found['plain.jpg'].objects[1].segmentation)[:3, :3].all()


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('<annotation/>', 'has no integer image size'),
        (XML.format(OBJECT.format('cat', 5, 5, 1, 1)), 'needs a box'),
        (XML.format(OBJECT.format('cat', 500, 500, 510, 510)), 'has no area in an image'),
        (XML.format('').replace('20', '200000').replace('30', '200000'), 'megapixels'),
        ('<annotation', 'not readable as XML'),
    ],
)
def test_malformed_files_are_one_line(tmp_path, text, message):
    (foreign(tmp_path) / 'Annotations/a.xml').write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        read_voc(tmp_path)
    assert '\n' not in str(error.value) and 'a.xml' in str(error.value)
