import json

import difficult
import pytest
from PIL import Image

from mmlabelpenet.workbench.exports.formats import write_export
from mmlabelpenet.workbench.exports.labels import choose_labels
from mmlabelpenet.workbench.own_data.tag_folders import folder_entries
from mmlabelpenet.workbench.own_data.tags import match_images, read_entries


def tree(root, *names):
    for k, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(bytes([k]))
    return [root / name for name in names]


def test_folders_are_classes(tmp_path):
    paths = tree(tmp_path, 'cat/1.jpg', 'dog/1.jpg', 'loose.jpg')
    entries = folder_entries(tmp_path, paths[:2])
    assert [(entry.image, entry.tags) for entry in entries] == [('cat/1.jpg', ('cat',)), ('dog/1.jpg', ('dog',))]
    with pytest.raises(ValueError, match='loose.jpg'):
        folder_entries(tmp_path, paths)


def test_folders_of_train_and_val_hold_the_classes(tmp_path):
    entries = folder_entries(tmp_path, tree(tmp_path, 'train/cat/1.jpg', 'train/dog/2.jpg', 'val/cat/sub/3.jpg'))
    assert [(entry.image, entry.tags) for entry in entries] == [
        ('train/cat/1.jpg', ('cat',)), ('train/dog/2.jpg', ('dog',)), ('val/cat/sub/3.jpg', ('cat',)),
    ]  # fmt: skip


def test_a_class_may_be_called_train(tmp_path):
    entries = folder_entries(tmp_path, tree(tmp_path, 'train/1.jpg', 'bus/2.jpg'))
    assert [entry.tags for entry in entries] == [('train',), ('bus',)]


@pytest.mark.parametrize(
    ('names', 'message'),
    [
        (('train/cat/1.jpg', 'bus/2.jpg'), "Folder 'train' contains folders, unlike 'bus': is it a class"),
        (('train/1.jpg', 'val/2.jpg'), 'train, val would be the classes'),
        (('images/1.jpg', 'labels/2.jpg'), "Folder 'images' belongs to a data set"),
        (('cat/1.jpg', 'JPEGImages/2.jpg'), "Folder 'JPEGImages' belongs to a data set"),
        (('cat/1.jpg', 'loose.jpg'), "1 image is not, the first: 'loose.jpg'"),
    ],
)
def test_folders_that_are_no_classes_are_refused(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        folder_entries(tmp_path, tree(tmp_path, *names))


@pytest.mark.parametrize('kind', ['labelme', 'yolo', 'voc', 'coco'])
def test_annotations_of_other_programs_are_tags_of_which_names_alone_are_read(tmp_path, kind):
    store = difficult.make(tmp_path / 'images')
    labels = choose_labels(store)
    options = dict(boxes=True) if kind == 'yolo' else {}
    write_export(kind, labels, tmp_path / 'out', tmp_path / 'images', **options)
    root = tmp_path / 'out' / dict(labelme='.', voc='JPEGImages').get(kind, 'images')
    paths = sorted(path for path in root.rglob('*') if path.suffix.lower() in ('.jpg', '.png') and 'Segmentation' not in str(path))
    found, unknown, ambiguous = match_images(read_entries(tmp_path / 'out'), root, paths)
    assert not unknown and not ambiguous and len(found) == 16
    wanted = [sorted({labels.classes[a['category_id'] - 1] for a in labels.annotations[image['id']]}) for image in labels.images]
    assert sorted(map(sorted, found.values())) == sorted(wanted)


def test_boxes_of_other_programs_are_not_even_parsed(tmp_path):
    shapes = [dict(label='cat', points='poison', shape_type=3), dict(label='dog')]
    (tmp_path / 'a.json').write_text(json.dumps(dict(shapes=shapes, imagePath='..\\x\\a.jpg', flags=dict(night=True, day=False))))
    assert [(e.image, e.tags) for e in read_entries(tmp_path)] == [('a.jpg', ('night', 'cat', 'dog'))]


def test_a_yolo_line_begins_with_a_class(tmp_path):
    (tmp_path / 'train/labels').mkdir(parents=True)
    (tmp_path / 'data.yaml').write_text('names: [cat, dog]')
    (tmp_path / 'train/labels/a_jpg.rf.12.txt').write_text('1 poison\n0 \n')
    for source in (tmp_path, tmp_path / 'data.yaml'):
        assert [(e.image, e.tags) for e in read_entries(source)] == [('train/images/a_jpg.rf.12', ('cat', 'dog'))]
    (tmp_path / 'train/labels/b.txt').write_text('2 0 0 1 1')
    with pytest.raises(ValueError, match="Line 1 of .*b.txt' begins with '2', which is not a class index"):
        read_entries(tmp_path)


def test_a_file_of_cvat_is_read(tmp_path):
    (tmp_path / 'annotations.xml').write_text(
        '<annotations><version>1.1</version><image id="0" name="x/a.jpg" width="9" height="9"><tag label="cat"/><box label="traffic light" '
        'xtl="poison"/><polygon label="cat" points="1,2"/></image><image id="1" name="b.jpg"/></annotations>'
    )
    entries = read_entries(tmp_path / 'annotations.xml')
    assert [(e.image, set(e.tags)) for e in entries] == [('x/a.jpg', {'cat', 'traffic light'}), ('b.jpg', set())]
    (tmp_path / 'other.xml').write_text('<html><image/></html>')
    with pytest.raises(ValueError, match='is not a "CVAT for images" file'):
        read_entries(tmp_path / 'other.xml')


def test_a_folder_without_annotations_is_explained(tmp_path):
    Image.new('RGB', (20, 20)).save(tmp_path / 'a.jpg')
    with pytest.raises(FileNotFoundError, match="For one folder per class, use 'folder-per-class'"):
        read_entries(tmp_path)
