import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mmlabelpenet.datasets.voc import VOC_CLASSES
from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.formats.tag_files import join_tags, parse_xml, split_tags

CLASSES = ('cat', 'dog', 'sheep')
# image -> (name, difficult, 1-based inclusive box)
OBJECTS = {
    'a': [('dog', 0, (1, 1, 10, 8)), ('cat', 1, (3, 2, 6, 5))],
    'b': [('cat', 0, (2, 2, 4, 4)), ('cat', 1, (1, 1, 9, 9)), ('person', 0, (1, 1, 2, 2))],
    'c': [('person', 0, (1, 1, 5, 5))],
}


def write_xml(path, objects):
    body = ''.join(
        f'<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>'
        f'<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox><part><name>head</name></part></object>'
        for name, difficult, box in objects
    )
    path.write_text(f'<annotation>{body}</annotation>')


@pytest.fixture
def root(tmp_path):
    for folder in ('Annotations', 'JPEGImages', 'ImageSets/Main', 'ImageSets/Segmentation', 'SegmentationClass', 'SegmentationObject'):
        (tmp_path / folder).mkdir(parents=True)
    for image_id, objects in OBJECTS.items():
        Image.new('RGB', (10, 8)).save(tmp_path / f'JPEGImages/{image_id}.jpg')
        write_xml(tmp_path / f'Annotations/{image_id}.xml', objects)
    (tmp_path / 'ImageSets/Main/train.txt').write_text('b\na\nc\n')
    (tmp_path / 'ImageSets/Segmentation/val.txt').write_text('a\n')
    for name in VOC_CLASSES:
        lines = []
        for image_id, objects in OBJECTS.items():
            marks = [difficult for other, difficult, _ in objects if other == name]
            lines.append(f'{image_id} {"-1" if not marks else 0 if all(marks) else 1:>2}\n')
        (tmp_path / f'ImageSets/Main/{name}_train.txt').write_text(''.join(lines))
    return tmp_path


def test_images_come_in_the_order_of_the_list(root):
    assert VOCDevkit(root, CLASSES).image_ids('train') == ['b', 'a', 'c']


def test_a_list_of_the_segmentation_task_serves_too(root):
    assert VOCDevkit(root, CLASSES).image_ids('val') == ['a']


def test_a_list_that_both_tasks_have_is_named_with_its_folder(root):
    (root / 'ImageSets/Main/val.txt').write_text('b\nc\n')
    assert VOCDevkit(root, CLASSES).image_ids('val') == ['b', 'c']
    assert VOCDevkit(root, CLASSES).image_ids('Segmentation/val') == ['a']
    assert VOCDevkit(root, CLASSES).tags('Segmentation/val', 'xml') == {'a': [1]}


@pytest.mark.parametrize('source', ['lists', 'xml'])
def test_difficult_objects_give_a_tag_only_where_asked_for(root, source):
    devkit = VOCDevkit(root, CLASSES)
    assert devkit.tags('train', source) == {'b': [0], 'a': [1], 'c': []}
    assert devkit.tags('train', source, use_difficult=True) == {'b': [0], 'a': [0, 1], 'c': []}
    assert list(devkit.tags('train', source)) == ['b', 'a', 'c']


@pytest.mark.parametrize('poison', ['<bndbox><xmin>nan</xmin></bndbox>', '<bndbox><xmin>1e999</xmin><ymin>none</ymin></bndbox>', ''])
def test_tags_from_xml_do_not_look_at_boxes(root, poison):
    clean = VOCDevkit(root, CLASSES).tags('train', 'xml')
    for image_id, objects in OBJECTS.items():
        body = ''.join(f'<object><name>{name}</name><difficult>{d}</difficult>{poison}</object>' for name, d, _ in objects)
        (root / f'Annotations/{image_id}.xml').write_text(f'<annotation>{body}</annotation>')
    devkit = VOCDevkit(root, CLASSES)
    assert devkit.tags('train', 'xml') == clean
    with pytest.raises(ValueError, match='a.xml'):
        devkit.objects('a')


TAGS = {'b': ['cat'], 'a': ['dog', 'cat'], 'c': [], 'elsewhere': ['sheep']}


def write_tags(path, tags):
    if path.suffix == '.json':
        path.write_text(json.dumps(tags))
    else:
        path.write_text('image,tags\n' + ''.join(f'{image},{";".join(names)}\n' for image, names in tags.items()))
    return path


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json'])
def test_a_byte_order_mark_before_the_tags_is_passed_over(root, name):
    path = write_tags(root / name, TAGS)
    path.write_bytes(b'\xef\xbb\xbf' + path.read_bytes())
    assert VOCDevkit(root, CLASSES).tags('train', path) == {'b': [0], 'a': [0, 1], 'c': []}


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json'])
def test_tags_come_from_a_file_where_there_is_no_xml(root, tmp_path_factory, name):
    path = write_tags(tmp_path_factory.mktemp('tags') / name, TAGS)
    for xml in (root / 'Annotations').iterdir():
        xml.unlink()
    (root / 'Annotations').rmdir()
    devkit = VOCDevkit(root, CLASSES)
    assert devkit.tags('train', path) == devkit.tags('train', str(path)) == {'b': [0], 'a': [0, 1], 'c': []}
    assert devkit.tags('train', 'lists')['a'] == [1]


def test_a_json_list_and_file_suffixes_are_understood(root):
    path = root / 'tags.json'
    path.write_text(json.dumps([{'image': f'{image}.jpg', 'tags': names} for image, names in TAGS.items()]))
    assert VOCDevkit(root, CLASSES).tags('train', path) == {'b': [0], 'a': [0, 1], 'c': []}


def test_a_repeated_tag_counts_once(root):
    path = write_tags(root / 'tags.csv', {**TAGS, 'a': ['dog', 'dog']})
    assert VOCDevkit(root, CLASSES).tags('train', path)['a'] == [1]


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json'])
def test_a_tag_that_is_no_class_names_the_nearest_one(root, name):
    path = write_tags(root / name, {**TAGS, 'a': ['Sheeep']})
    with pytest.raises(ValueError, match=r"'Sheeep' in .* of .*tags.*Did you mean 'sheep'"):
        VOCDevkit(root, CLASSES).tags('train', path)


def test_an_unknown_name_in_xml_is_an_error_and_an_unwanted_voc_class_is_not(root):
    write_xml(root / 'Annotations/c.xml', [('shep', 0, (1, 1, 2, 2))])
    with pytest.raises(ValueError, match=r"'shep' in .*c\.xml.*Did you mean 'sheep'"):
        VOCDevkit(root, CLASSES).tags('train', 'xml')
    assert VOCDevkit(root, CLASSES, mask_classes=(*CLASSES, 'person', 'shep')).tags('train', 'xml')['c'] == []


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json'])
def test_an_image_without_an_entry_is_named(root, name):
    path = write_tags(root / name, {key: names for key, names in TAGS.items() if key != 'c'})
    with pytest.raises(ValueError, match='1 image of the split has no entry .* c'):
        VOCDevkit(root, CLASSES).tags('train', path)


@pytest.mark.parametrize(
    ('name', 'content', 'message'),
    [
        ('tags.csv', 'image,tags\na,dog\na.jpg,cat\n', "'a' appears twice .*line 3"),
        ('tags.json', '{"a": ["dog"], "a": ["cat"]}', "'a' appears twice"),
        ('tags.json', '[{"image": "a", "tags": []}, {"image": "a", "tags": []}]', "'a' appears twice .*entry 2"),
        ('tags.csv', 'name;label\n', "header 'image,tags'"),
        ('tags.csv', 'image,tags\na,dog,cat\n', 'Line 2'),
        ('tags.json', '{"a": "dog"}', 'should hold'),
        ('tags.json', '3', 'should hold'),
        ('tags.json', '{', r'should hold .*Input data was truncated'),
        ('tags.json', '{"a": ' + 3000 * '[' + 3000 * ']' + '}', 'should hold'),
        ('tags.json', '{"a": ["dog", NaN]}', r'should hold .*byte 14'),
        ('tags.json', '{"../a": ["dog"]}', 'Entry 1 of .*tags.json.: .* is not a valid file name inside'),
        ('tags.csv', 'image,tags\n/a,dog\n', 'Line 2 of .*tags.csv.: .* is not a valid file name inside'),
        (
            'tags.csv',
            'image,tags\na,"dog',
            'Line 2 of .*tags.csv. is not readable as CSV: unexpected end of data. Check its quotation marks',
        ),
        ('tags.txt', '', "'lists', 'xml' or a .csv or .json"),
    ],
)
def test_a_malformed_tag_file_is_refused(root, name, content, message):
    (root / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        VOCDevkit(root, CLASSES).tags('train', root / name)


@pytest.mark.parametrize(
    ('line', 'message'), [('a 2', 'Line 1'), ('a', 'Line 1'), ('a 1\na 1', "'a' appears twice"), ('a 1', '2 images of the split')]
)
def test_a_malformed_class_list_is_refused(root, line, message):
    (root / 'ImageSets/Main/dog_train.txt').write_text(line + '\n')
    with pytest.raises(ValueError, match=message):
        VOCDevkit(root, CLASSES).tags('train')


def test_missing_files_are_named(root, tmp_path_factory):
    with pytest.raises(FileNotFoundError, match='Expected a VOC devkit at'):
        VOCDevkit(tmp_path_factory.mktemp('empty'), CLASSES)
    devkit = VOCDevkit(root, CLASSES)
    with pytest.raises(FileNotFoundError, match="No split 'trainval'.* Available splits: train, val"):
        devkit.image_ids('trainval')
    with pytest.raises(FileNotFoundError, match="Image 'z' is missing"):
        devkit.image_path('z')
    with pytest.raises(FileNotFoundError, match='tags.csv'):
        devkit.tags('train', 'tags.csv')
    (root / 'ImageSets/Main/dog_train.txt').unlink()
    with pytest.raises(FileNotFoundError, match='dog_train.txt'):
        devkit.tags('train')
    (root / 'Annotations/b.xml').unlink()
    with pytest.raises(FileNotFoundError, match='b.xml'):
        devkit.tags('train', 'xml')


def test_an_unreadable_xml_is_named(root):
    (root / 'Annotations/a.xml').write_text('<annotation><object>')
    for read in (lambda devkit: devkit.tags('train', 'xml'), lambda devkit: devkit.objects('a')):
        with pytest.raises(ValueError, match=r'a\.xml.* not readable as XML'):
            read(VOCDevkit(root, CLASSES))


def test_an_unreadable_image_is_named(root):
    (root / 'JPEGImages/a.jpg').write_text('no image')
    with pytest.raises(ValueError, match=r'a\.jpg.* not readable'):
        VOCDevkit(root, CLASSES).image_size('a')


@pytest.mark.parametrize(('content', 'message'), [('a\nb\na\n', '1 image appears twice .*: a'), ('\n', 'empty')])
def test_a_bad_image_list_is_refused(root, content, message):
    (root / 'ImageSets/Main/train.txt').write_text(content)
    with pytest.raises(ValueError, match=message):
        VOCDevkit(root, CLASSES).image_ids('train')


@pytest.fixture
def named(root):
    """A function that adds images of given names."""

    def add(*names):
        for name in names:
            (root / 'JPEGImages' / name).parent.mkdir(parents=True, exist_ok=True)
            (root / 'JPEGImages' / name).write_bytes((root / 'JPEGImages/a.jpg').read_bytes())

    return add


def test_names_with_blanks_and_folders_are_whole(root, named):
    named('street.jpg', 'street at night.jpg', 'day/0001.jpg', 'night/0001.jfif', 'a.b.JPEG')
    written = ['street at night', 'day/0001', 'night/0001', 'a.b']
    (root / 'ImageSets/Main/train.txt').write_text(''.join(f'{name}\n' for name in written))
    devkit = VOCDevkit(root, CLASSES)
    found = [devkit.image_path(name).relative_to(root / 'JPEGImages').as_posix() for name in devkit.image_ids('train')]
    assert found == ['street at night.jpg', 'day/0001.jpg', 'night/0001.jfif', 'a.b.JPEG']


def test_class_lists_take_names_with_blanks_and_folders(root, named):
    named('street.jpg', 'street 1.jpg', 'night/street 1.jpg')
    names = ['street', 'street 1', 'night/street 1']
    (root / 'ImageSets/Main/train.txt').write_text(''.join(f'{name}\n' for name in names))
    for label, name in enumerate(CLASSES):
        lines = [f'{image} {1 if number == label else -1:2d}\n' for number, image in enumerate(names)]
        (root / f'ImageSets/Main/{name}_train.txt').write_text(''.join(lines))
    assert VOCDevkit(root, CLASSES).tags('train') == {'street': [0], 'street 1': [1], 'night/street 1': [2]}


def test_files_that_differ_in_the_suffix_alone_keep_it_in_their_names(root, named):
    named('a.png')
    devkit = VOCDevkit(root, CLASSES)
    assert [devkit.image_path(f'a.{suffix}').name for suffix in ('jpg', 'png')] == ['a.jpg', 'a.png']
    with pytest.raises(FileNotFoundError, match="Image 'a' is missing"):
        devkit.image_path('a')


def test_the_list_of_a_class_is_not_taken_for_a_list_of_images(root, named):
    with pytest.raises(ValueError, match=r'dog_train.txt. is the list of one class'):
        VOCDevkit(root, CLASSES).image_ids('dog_train')
    named('street 1.jpg', 'street 0.jpg')
    (root / 'ImageSets/Main/streets.txt').write_text('street 1\nstreet 0\n')
    assert VOCDevkit(root, CLASSES).image_ids('streets') == ['street 1', 'street 0']


@pytest.mark.parametrize('name', ['../secret', '/etc/passwd', 'a/../../secret'])
@pytest.mark.parametrize('what', ['image_path', 'objects', 'class_mask', 'image_size', 'image_ids', 'tags'])
def test_no_name_leads_out_of_its_folder(root, name, what):
    devkit = VOCDevkit(root, CLASSES)
    for folder in ('', 'JPEGImages/a', 'Annotations/a'):
        (root / folder).mkdir(exist_ok=True)
        (root / folder / 'secret.jpg').touch()
    (root / 'ImageSets/Main/train.txt').write_text(f'{name}\n')
    with pytest.raises(ValueError, match='is not a valid file name inside its folder'):
        getattr(devkit, what)('train' if what in ('image_ids', 'tags') else name)


@pytest.mark.parametrize('depth', [64, 65])
def test_an_annotation_file_may_be_nested_64_deep(root, depth):
    (root / 'Annotations/a.xml').write_text('<a>' * depth + '</a>' * depth)
    if depth == 64:
        assert parse_xml(root / 'Annotations/a.xml', root=None).tag == 'a'
    else:
        with pytest.raises(ValueError, match='nested more than 64 deep'):
            parse_xml(root / 'Annotations/a.xml')


@pytest.mark.parametrize('text', ['<a>' * 1_000_000, '<a>' * 100 + '</a>' * 100, f'<a b="{"x" * 5_000_000}"/>', '<a>' + '<b/>' * 2_000_000])
def test_a_bomb_in_an_annotation_file_is_refused_at_once(root, text):
    (root / 'Annotations/a.xml').write_text(text)
    begin = time.process_time()
    for read in (lambda devkit: devkit.tags('train', 'xml'), lambda devkit: devkit.objects('a')):
        with pytest.raises(ValueError, match=r'a\.xml.* not readable as XML: (its elements are nested more than 64 deep|it has \d+ bytes)'):
            read(VOCDevkit(root, CLASSES))
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    'text',
    [
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation><object><name>&b;</name></object></annotation>',
        '<!DOCTYPE a [<!ENTITY b "cat"><!ENTITY c "&b;&b;&b;">]><annotation><object><name>&c;</name></object></annotation>',
        '<!DOCTYPE a SYSTEM "http://localhost/a.dtd"><annotation/>',
        '<?xml version="1.0" encoding="klingon"?><annotation/>',
        '<annotation>\0</annotation>',
        '',
    ],
)
def test_an_annotation_file_that_declares_a_document_type_or_is_damaged_is_refused(root, text):
    (root / 'Annotations/a.xml').write_text(text)
    with pytest.raises(ValueError, match=r'a\.xml.* not readable as XML'):
        VOCDevkit(root, CLASSES).objects('a')


@given(st.lists(st.text(st.characters(codec='utf-8'), min_size=1).map(str.strip).filter(bool), max_size=5))
def test_tags_of_any_name_are_read_as_they_are_written(names):
    assert split_tags(join_tags(names)) == names == split_tags(join_tags(names), ';,|')


def test_classes_are_checked(root):
    with pytest.raises(ValueError, match='Class names must be unique'):
        VOCDevkit(root, ('cat', 'cat'))
    with pytest.raises(ValueError, match='lacks zebra'):
        VOCDevkit(root, ('cat', 'zebra'), mask_classes=VOC_CLASSES)
    assert VOCDevkit(root, ('cat', 'zebra')).mask_classes == ('cat', 'zebra')


def test_boxes_are_half_open_and_zero_based(root):
    objects = VOCDevkit(root, CLASSES).objects('b')
    assert objects.bboxes.tolist() == [[1, 1, 4, 4], [0, 0, 9, 9]] and objects.bboxes.dtype == np.float32
    assert objects.labels.tolist() == [0, 0] and objects.labels.dtype == np.int64
    assert objects.difficult.tolist() == [False, True]
    everything = VOCDevkit(root, CLASSES).all_boxes('b')
    assert len(everything.bboxes) == 3 and not everything.labels.any()


def test_a_class_in_another_letter_case_is_not_left_out_silently(root):
    with pytest.raises(ValueError, match=r"'dog' in .*a\.xml. is not a class. Did you mean 'Dog'"):
        VOCDevkit(root, ('cat', 'Dog', 'person')).objects('a')
    assert len(VOCDevkit(root, ('cat', 'Dog', 'person'), mask_classes=('cat', 'Dog', 'person', 'dog')).objects('a').labels) == 1


def test_an_image_without_wanted_objects_has_empty_fields_of_the_right_shape(root):
    objects = VOCDevkit(root, CLASSES).objects('c')
    assert objects.bboxes.shape == (0, 4) and objects.labels.shape == (0,) and objects.difficult.shape == (0,)


@pytest.mark.parametrize('box', [(5, 1, 4, 9), (1, 5, 9, 4), (1, 1, 'inf', 5), (1, 1, 'x', 5)])
def test_a_box_that_is_none_is_refused(root, box):
    write_xml(root / 'Annotations/a.xml', [('dog', 0, box)])
    with pytest.raises(ValueError, match=r"'dog' in .*a\.xml"):
        VOCDevkit(root, CLASSES).objects('a')


def save_indices(path, indices):
    image = Image.fromarray(np.array(indices, np.uint8))
    image.putpalette([k // 3 for k in range(768)])
    image.save(path)


def write_masks(root):
    dog, person = 1 + VOC_CLASSES.index('dog'), 1 + VOC_CLASSES.index('person')
    save_indices(root / 'SegmentationObject/a.png', [[1, 1, 255, 2], [3, 3, 0, 2]])
    save_indices(root / 'SegmentationClass/a.png', [[dog, dog, 255, person], [dog, dog, 0, person]])


def test_masks_have_the_labels_of_the_class_image_and_unwanted_classes_are_background(root):
    write_masks(root)
    devkit = VOCDevkit(root, CLASSES)
    masks = devkit.instance_masks('a')
    assert masks.labels.tolist() == [1, 1]
    assert masks.masks.astype(int).tolist() == [[[1, 1, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [1, 1, 0, 0]]]
    assert devkit.class_mask('a').tolist() == [[2, 2, 255, 0], [2, 2, 0, 0]]
    everything = VOCDevkit(root, VOC_CLASSES)
    assert everything.instance_masks('a').labels.tolist() == [11, 14, 11]
    assert everything.class_mask('a').tolist() == [[12, 12, 255, 15], [12, 12, 0, 15]]


def test_an_object_is_of_the_class_that_most_of_its_pixels_name(root):
    save_indices(root / 'SegmentationObject/a.png', [[1] * 8 + [2] * 3])
    save_indices(root / 'SegmentationClass/a.png', [[0, 0, 0, 255, 255, 255, 1, 1, 0, 0, 255]])
    masks = VOCDevkit(root, VOC_CLASSES).instance_masks('a')
    assert masks.labels.tolist() == [VOC_CLASSES.index('aeroplane')] and masks.masks.tolist() == [[[True] * 8 + [False] * 3]]


def test_the_highest_value_of_8_bits_is_void_however_many_classes_there_are(root):
    save_indices(root / 'SegmentationClass/a.png', [[0, 1, 254, 255]])
    assert VOCDevkit(root, [f'c{k}' for k in range(257)]).class_mask('a').tolist() == [[0, 1, 254, 65535]]


def test_the_index_of_the_last_class_is_not_beyond_them(root):
    save_indices(root / 'SegmentationClass/a.png', [[len(VOC_CLASSES), 0]])
    assert VOCDevkit(root, VOC_CLASSES[-1:]).class_mask('a').tolist() == [[1, 0]]


def test_images_without_masks_say_so(root):
    devkit = VOCDevkit(root, CLASSES)
    assert devkit.instance_masks('b') is None
    assert devkit.class_mask('b') is None


def test_masks_that_do_not_fit_are_refused(root):
    write_masks(root)
    devkit = VOCDevkit(root, CLASSES)
    save_indices(root / 'SegmentationObject/a.png', [[1, 1]])
    with pytest.raises(ValueError, match="'a' differ in size"):
        devkit.instance_masks('a')
    save_indices(root / 'SegmentationClass/a.png', [[21, 0]])
    with pytest.raises(ValueError, match='class index 21'):
        devkit.class_mask('a')
    Image.new('RGB', (2, 2)).save(root / 'SegmentationClass/a.png')
    with pytest.raises(ValueError, match='mode is RGB'):
        devkit.class_mask('a')
    (root / 'SegmentationClass/a.png').unlink()
    with pytest.raises(FileNotFoundError, match='none in SegmentationClass'):
        devkit.instance_masks('a')


def test_the_size_heeds_the_orientation_of_a_photograph(root):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new('RGB', (10, 8)).save(root / 'JPEGImages/a.jpg', exif=exif)
    devkit = VOCDevkit(root, CLASSES)
    assert devkit.image_size('a') == (10, 8)
    assert devkit.image_size('b') == (8, 10)


DATA = Path(os.environ.get('MMLABELPENET_DATA', 'data/VOCdevkit')) / 'VOC2012'


@pytest.mark.skipif(not (DATA / 'ImageSets/Main/mini_test.txt').is_file(), reason='needs the VOC12-mini images')
def test_real_annotations_give_the_same_tags_by_lists_and_xml():
    devkit = VOCDevkit(DATA, VOC_CLASSES)
    assert devkit.tags('mini_test') == devkit.tags('mini_test', 'xml')
    image_id = devkit.image_ids('mini_test')[0]
    assert set(devkit.instance_masks(image_id).labels) <= set(devkit.objects(image_id).labels)
    assert devkit.class_mask(image_id).shape == devkit.image_size(image_id)


def test_a_label_map_names_the_values_of_class_masks(tmp_path):
    for folder in ('ImageSets', 'JPEGImages'):
        (tmp_path / folder).mkdir()
    lines = [
        '# label:color_rgb:parts:actions',
        '',
        '# made by hand',
        'background:0,0,0::',
        'dog:128,0,0::',
        'cat:0,128,0::',
        'ignored:224,224,192::',
    ]
    (tmp_path / 'labelmap.txt').write_text('\n'.join(lines))
    assert VOCDevkit(tmp_path, ('cat', 'dog')).mask_classes == ('dog', 'cat')
    assert VOCDevkit(tmp_path, ('cat', 'dog'), ('cat', 'dog')).mask_classes == ('cat', 'dog')
    (tmp_path / 'labelmap.txt').write_text('\n'.join(lines[4:]))
    assert VOCDevkit(tmp_path, ('cat', 'dog')).mask_classes == VOC_CLASSES
    (tmp_path / 'labelmap.txt').write_text('background\ncat')
    with pytest.raises(ValueError, match='labelmap.txt'):
        VOCDevkit(tmp_path, ('cat', 'dog'))
