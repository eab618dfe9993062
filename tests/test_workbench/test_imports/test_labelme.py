import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mmlabelpenet.workbench.exports.labelme import write_labelme
from mmlabelpenet.workbench.imports.labelme import read_labelme


def write(folder, *shapes, **more):
    content = dict(version='5.5.0', flags={}, shapes=list(shapes), imagePath='a.jpg', imageData=None, imageHeight=20, imageWidth=30)
    (folder / 'a.json').write_text(json.dumps(content | more))


def shape(kind, points, label='cat', **more):
    return dict(label=label, points=points, shape_type=kind, group_id=None, flags={}, **more)


def test_a_corrected_object_has_the_box_of_its_pixels_and_full_weight(labels, images, tmp_path):
    write_labelme(labels, tmp_path, images, polygons=True)
    path = tmp_path / 'UPPER.json'
    content = json.loads(path.read_text())
    content['shapes'][0]['points'] = [[10, 10], [20, 10], [20, 30], [10, 30]]
    path.write_text(json.dumps(content))
    (item,) = next(image for image in read_labelme(tmp_path) if image.name == 'UPPER.JPG').objects
    assert (item.weight, item.as_exported, item.bbox) == (1.0, False, (10.0, 10.0, 11.0, 21.0))
    assert coco_mask.area(item.segmentation) == 11 * 21


def test_a_renamed_object_is_a_corrected_one(labels, images, tmp_path):
    write_labelme(labels, tmp_path, images)
    path = tmp_path / 'UPPER.json'
    path.write_text(path.read_text().replace('traffic light', 'dog'))
    (item,) = next(image for image in read_labelme(tmp_path) if image.name == 'UPPER.JPG').objects
    assert (item.name, item.weight, item.as_exported) == ('dog', 1.0, False)


def test_a_file_that_labelme_has_written_anew_is_as_exported(labels, images, tmp_path):
    write_labelme(labels, tmp_path, images)
    for path in tmp_path.glob('*.json'):
        content = json.loads(path.read_text())
        for item in content['shapes']:
            item['points'] = [[float(x), float(y)] for x, y in item['points']]
            if item['mask'] is not None:  # 0 and 1 in place of 0 and 255
                pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(item['mask']))).convert('L')) > 0
                buffer = io.BytesIO()
                Image.fromarray(pixels.astype(np.uint8)).save(buffer, 'PNG')
                item['mask'] = base64.b64encode(buffer.getvalue()).decode()
        path.write_text(json.dumps(dict(content, version='6.0.0'), indent=2))
    assert all(item.as_exported for image in read_labelme(tmp_path) for item in image.objects)


def test_shapes_of_a_group_are_one_object_and_rectangles_are_boxes(tmp_path):
    square = [[2, 2], [4, 2], [4, 4], [2, 4]]
    write(
        tmp_path,
        shape('polygon', square) | dict(group_id=1),
        shape('polygon', (np.array(square) + 10).tolist()) | dict(group_id=1),
        shape('rectangle', [[8.5, 9], [3.5, 1]], 'dog'),
        shape('circle', [[20, 10], [23, 10]]),
    )
    (image,) = read_labelme(tmp_path)
    assert image.size == (20, 30) and image.name == 'a.jpg'
    circle, box, group = image.objects
    assert (box.name, box.bbox, coco_mask.area(box.segmentation)) == ('dog', (3.5, 1.0, 5.0, 8.0), 0)
    assert group.bbox == (2.0, 2.0, 13.0, 13.0) and coco_mask.area(group.segmentation) == 18
    assert circle.bbox == (17.0, 7.0, 7.0, 7.0)


@pytest.mark.parametrize(
    ('changed', 'message'),
    [
        (dict(shapes=[shape('line', [[1, 1], [2, 2]])]), "Shape 1 of .* is a 'line', which is not an object"),
        (dict(shapes=[shape('polygon', [[1, 1], [2, 2]])]), 'needs 3 points'),
        (dict(shapes=[shape('polygon', [[1, 'x']])]), r'is not a LabelMe file \(Expected `float`, got `str`'),
        (dict(shapes=[shape('mask', [[0, 0], [3, 3]], mask='AAAA')]), 'has a mask that is not a PNG'),
        (dict(shapes=[shape('rectangle', [[100, 100], [110, 120]])]), 'has no area in an image'),
        (dict(imageHeight=100_000, imageWidth=100_000), 'expected 1 to 178 megapixels'),
        (dict(imageHeight='20'), 'is not a LabelMe file'),
        (dict(shapes=3), 'is not a LabelMe file'),
    ],
)
def test_malformed_files_are_one_line_that_names_the_place(tmp_path, changed, message):
    write(tmp_path, **changed)
    with pytest.raises(ValueError, match=message) as error:
        read_labelme(tmp_path)
    assert '\n' not in str(error.value) and len(str(error.value)) < 300 and 'a.json' in str(error.value)
