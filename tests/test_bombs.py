"""Small files that claim to be large: each is read, or rejected in one line, within ten seconds and four gigabytes (see ``fuzzing``)."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from fuzzing import png
from PIL import Image
from test_fuzz import FORMATS, NAME, _no_git, check, sound  # noqa: F401  fixtures

SIDE = 100_000
HUGE = 10**10


def whole_png(side):
    """One that really holds its pixels, all of them 0."""
    return png(side, side, 3, bytes((side + 1) * side))


def jpeg(size):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, 'jpeg')
    content = bytearray(buffer.getvalue())
    place = content.index(b'\xff\xc0') + 5
    content[place : place + 4] = struct.pack('>HH', size, size)
    return bytes(content)


def zipped(**members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f'{name}.npy', content)
    return buffer.getvalue()


def array(shape, data=b'', kind='<f4'):
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, dict(descr=kind, fortran_order=False, shape=shape))
    return buffer.getvalue() + data


def packed(content, size=300 << 20):
    """A compressed archive with a member of zeros."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
        member = tarfile.TarInfo(content)
        member.size = size
        archive.addfile(member, io.BytesIO(bytes(size)))
    return buffer.getvalue()


def matrix(claimed):
    """A MATLAB file whose compressed variable claims so many bytes."""
    inner = struct.pack('<II', 14, claimed) + struct.pack('<IIII', 6, 8, 6, 0) + struct.pack('<IIii', 5, 8, 30_000, 30_000)
    inner += struct.pack('<II', 1, 5) + b'boxes\0\0\0' + struct.pack('<II', 9, claimed - 56) + bytes(1 << 20)
    content = zlib.compress(inner)
    return b'MATLAB 5.0 MAT-file'.ljust(124) + struct.pack('<H2s', 0x0100, b'IM') + struct.pack('<II', 15, len(content)) + content


def changed(name, change):
    def make(content):
        content = json.loads(content)
        change(content)
        return json.dumps(content).encode()

    return name, make


def of_size(side):
    code = dict(size=[side, side], counts=[0, side * side])

    def change(content):
        content['images'][0].update(height=side, width=side)
        for annotation in content['annotations']:
            annotation['segmentation'] = code

    return change


def coded(place):
    def change(content):
        for annotation in content['annotations'] if isinstance(content, dict) else content:
            annotation['segmentation'] = place

    return change


RUNS = dict(size=[SIDE, SIDE], counts=[0, HUGE])
TEXT = dict(size=[SIDE, SIDE], counts='0' + 'o' * 12 + '1')
BOMBS = {
    'a class image of 256 megapixels': ('class image', lambda content: whole_png(16_000)),
    'a class image that claims 10 gigapixels': ('class image', lambda content: png(SIDE, SIDE, 3)),
    'an object image that claims 10 gigapixels': ('object image', lambda content: png(SIDE, SIDE, 3, bytes(1000))),
    'a PNG that claims 10 gigapixels': ('PNG', lambda content: png(SIDE, SIDE, 2, bytes(1000))),
    'a JPEG that claims 4 gigapixels': ('JPEG', lambda content: jpeg(65_500)),
    'a JPEG that claims 180 megapixels': ('JPEG', lambda content: jpeg(13_400)),
    'a GIF that claims 4 gigapixels': ('GIF', lambda content: content[:6] + struct.pack('<HH', 65_535, 65_535) + content[10:]),
    'proposals of 10 billion boxes': ('proposals', lambda content: zipped(bboxes=array((HUGE, 4)), scores=array((HUGE,)))),
    'proposals that unpack to 300 MB': ('proposals, first format', lambda content: zipped(bboxes=array((75 << 18, 4), bytes(300 << 20)))),
    'foreign arrays of 10 billion boxes': ('foreign proposals, NumPy', lambda content: zipped(**{NAME: array((HUGE, 4))})),
    'foreign arrays that unpack to 300 MB': (
        'foreign proposals, NumPy', lambda content: zipped(**{NAME: array((75 << 18, 4), bytes(300 << 20))}),
    ),
    'a MATLAB variable that claims 3.6 GB': ('foreign proposals, MATLAB', lambda content: matrix(3_600_000_056)),
    'a submission that unpacks to 300 MB': ('submission', lambda content: packed('results/VOC2012/Main/comp4_det_train_cat.txt')),
    'a submission with a large file of another name': ('submission', lambda content: packed('../../x')),
    'a compressed file in place of an archive': ('submission', lambda content: gzip.compress(bytes(300 << 20))),
    'a store of images of 10 gigapixels': changed('store', of_size(SIDE)),
    'a store of masks of 10 gigapixels': changed('store', coded(RUNS)),
    'a store of compressed masks of 10 gigapixels': changed('store', coded(TEXT)),
    'results of 10 gigapixels': changed('results', coded(TEXT)),
    'COCO images of 10 gigapixels': changed('COCO', of_size(SIDE)),
    'COCO masks of 10 gigapixels': changed('COCO', coded(RUNS)),
    'COCO polygons of 10 billion pixels': changed('COCO', coded([[0, 0, 1e30, 0, 1e30, 1e30]])),
    'labels of images of 10 gigapixels': changed('COCO labels', of_size(SIDE)),
    'LabelMe images of 10 gigapixels': changed('LabelMe', lambda content: content.update(imageHeight=SIDE, imageWidth=SIDE)),
    'LabelMe points far outside': changed('LabelMe', lambda content: content['shapes'][0].update(points=[[0, 0], [1e30, 0], [1e30, 1e30]])),
    'a field of 30 MB': ('tags.csv', lambda content: content + b'"' + b'x' * (30 << 20)),
    'a name of 30 MB': ('image list', lambda content: b'x' * (30 << 20)),
    'a list of a million images': ('image list', lambda content: b'\n'.join(b'%d' % k for k in range(1_000_000))),
    'a number of a million digits': ('metrics', lambda content: content.replace(b'1.5', b'9' * 1_000_000)),
    'nested objects': ('metrics', lambda content: b'{"a":' * 1_000_000),
    'a nested annotation': ('annotation', lambda content: b'<a>' * 1_000_000),
    'an annotation of 20,000 objects': ('annotation', lambda content: b'<a>' + b'<object><name>cat</name></object>' * 20_000 + b'</a>'),
}  # fmt: skip


@pytest.mark.parametrize('name', BOMBS)
def test_a_bomb_is_read_or_refused_in_one_line_in_bounded_time_and_memory(sound, name, capsys):  # noqa: F811
    kind, make = BOMBS[name]
    check(sound, kind, make((sound / FORMATS[kind].file).read_bytes()), print)
