import base64
import json

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from mmlabelpenet.workbench.exports.labelme import write_labelme
from mmlabelpenet.workbench.exports.labels import decode, has_mask


def pixels(shape, size):
    """Pixels of a shape, as LabelMe finds them."""
    mask = np.zeros(size, bool)
    if shape['shape_type'] == 'mask':
        (x1, y1), (x2, y2) = shape['points']
        mask[y1 : y2 + 1, x1 : x2 + 1] = cv2.imdecode(np.frombuffer(base64.b64decode(shape['mask']), np.uint8), cv2.IMREAD_UNCHANGED) > 0
    elif shape['shape_type'] == 'polygon':
        image = Image.fromarray(mask.astype(np.uint8))
        ImageDraw.Draw(image).polygon([tuple(point) for point in shape['points']], outline=1, fill=1)
        mask = np.asarray(image) > 0
    return mask


@pytest.mark.parametrize('polygons', [False, True])
def test_files_hold_every_pixel_and_box_with_the_heaviest_object_on_top(labels, images, tmp_path, polygons):
    for path, image in zip(write_labelme(labels, tmp_path, images, polygons), labels.images, strict=True):
        content = json.loads(path.read_text(encoding='utf-8'))
        assert (path.parent / content['imagePath']).is_file()
        size = (content['imageHeight'], content['imageWidth'])
        assert size == (image['height'], image['width'])
        shapes = content['shapes']
        for annotation in reversed(labels.annotations[image['id']]):
            first = shapes.pop(0)
            parts = [first]
            while shapes and first['group_id'] is not None and shapes[0]['group_id'] == first['group_id']:
                parts.append(shapes.pop(0))
            assert first['label'] == labels.classes[annotation['category_id'] - 1]
            assert first['bbox'] == annotation['bbox'] and first['weight'] == annotation['weight']
            assert np.array_equal(np.any([pixels(part, size) for part in parts], 0), decode(annotation)), image['file_name']
            assert (first['shape_type'] == 'rectangle') != has_mask(annotation)
        assert not shapes
