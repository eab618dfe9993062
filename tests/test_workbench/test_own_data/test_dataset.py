import csv
import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from mmlabelpenet.evaluation.voc import VOCDevkit
from mmlabelpenet.workbench.own_data.dataset import OwnData, advice, make_own_data


def make_image(path, size=(60, 40), mode='RGB', **kwargs):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(list(os.fsencode(path))).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(path, **kwargs)


@pytest.fixture
def folder(tmp_path):
    """Twelve images, one in three a cat, one a dog, one both."""
    lines = ['image,tags']
    for k in range(12):
        make_image(tmp_path / f'photos/p{k:02d}.jpg')
        lines.append(f'p{k:02d}.jpg,{("cat", "dog", "cat;dog")[k % 3]}')
    (tmp_path / 'tags.csv').write_text('\n'.join(lines))
    return tmp_path


def test_a_data_set_can_be_read_by_the_reader_of_training(folder):
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv', test_share=0.25)
    devkit = VOCDevkit(data.root, data.classes)
    tags = {split: devkit.tags(split, str(data.root / 'tags.csv')) for split in ('train', 'test')}
    assert data.classes == ('cat', 'dog')
    assert {name: found for part in tags.values() for name, found in part.items()} == {
        f'p{k:02d}': [[0], [1], [0, 1]][k % 3] for k in range(12)
    }
    assert len(tags['test']) == 3 and {label for found in tags['test'].values() for label in found} == {0, 1}
    assert all(devkit.image_path(name).is_file() for part in tags.values() for name in part)
    assert OwnData.load(data.root) == data


def test_no_box_and_no_annotation_is_written(folder):
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    assert sorted(path.name for path in data.root.iterdir()) == ['ImageSets', 'JPEGImages', 'own_data.json', 'tags.csv']
    texts = ''.join(path.read_text() for path in data.root.rglob('*') if path.suffix in ('.json', '.csv', '.txt'))
    assert '"bbox' not in texts and '<bndbox' not in texts


def test_unknown_missing_unreadable_and_ambiguous_images_are_refused_in_one_list(folder):
    make_image(folder / 'photos/untold.jpg')
    make_image(folder / 'photos/dot.png', (1, 1))
    (folder / 'photos/broken.jpg').write_bytes(b'x')
    (folder / 'tags.csv').write_text((folder / 'tags.csv').read_text() + '\nghost.jpg,cat\ndot.png,cat\nbroken.jpg,dog\n')
    with pytest.raises(ValueError) as error:
        make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    assert '\n' not in str(error.value) and len(str(error.value)) <= 300
    for words in ("'ghost.jpg' (line 14)", 'untold.jpg', "2 images cannot be used: 'broken.jpg'", '--skip'):
        assert words in str(error.value), words
    assert not (folder / 'set').exists()
    assert not list(folder.glob('.set*'))


def test_images_with_an_unknown_suffix_or_none_are_listed(folder):
    for name in ('p00.jpg_large', 'p01'):
        shutil.copy(folder / 'photos/p00.jpg', folder / 'photos' / name)
    (folder / 'photos/notes').write_text('not an image')
    with pytest.raises(ValueError, match='match: 2 images have an unknown file extension: p00.jpg_large. Fix this'):
        make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')


def test_what_does_not_fit_can_be_left_out(folder):
    make_image(folder / 'photos/dot.png', (1, 1))
    (folder / 'tags.csv').write_text((folder / 'tags.csv').read_text() + '\nghost.jpg,cat\ndot.png,cat\n')
    data, warnings = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv', skip=True)
    assert len(data.sources) == 12
    assert any('ghost' in text for text in warnings) and any('1 x 1' in text for text in warnings)


@pytest.mark.parametrize(
    ('name', 'make', 'reason'),
    [
        ('loop.jpg', lambda path: path.symlink_to(path.name), 'this is not a file'),
        ('gone.jpg', lambda path: path.symlink_to('nowhere'), 'this is not a file'),
        ('pipe.jpg', os.mkfifo, 'this is not a file'),
        ('bytes\udcff.jpg', lambda path: path.write_bytes((path.parent / 'p00.jpg').read_bytes()), 'is not UTF-8'),
        (
            'two\nlines.jpg',
            lambda path: path.write_bytes((path.parent / 'p00.jpg').read_bytes()),
            'is not UTF-8 or contains a control character',
        ),
    ],
)
def test_what_is_not_an_image_but_named_like_one_is_listed_and_can_be_left_out(folder, name, make, reason):
    make(folder / 'photos' / name)
    with pytest.raises(ValueError, match=rf'1 image cannot be used: .*{reason}.*(?<!\.)\. Fix this') as refused:
        make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    data, warnings = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv', skip=True)
    assert len(data.sources) == 12 and any(reason in text for text in warnings)
    assert str(folder) not in str(refused.value)  # names alone, so that long paths leave room for the reason


def test_a_reduced_image_is_still_one_that_init_would_take(folder):
    make_image(folder / 'photos/strip.jpg', (2000, 20))
    (folder / 'tags.csv').write_text((folder / 'tags.csv').read_text() + '\nstrip.jpg,cat\n')
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    assert cv2.imread(str(data.root / 'JPEGImages/strip.jpg')).shape[:2] == (16, 1600)
    with pytest.raises(ValueError, match='downscaled to at least 16 pixels .0: not at all., got 3'):
        make_own_data(folder / 'other', folder / 'photos', folder / 'tags.csv', max_side=3)


def test_a_folder_in_use_is_left_alone(folder):
    make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    with pytest.raises(FileExistsError, match='not empty'):
        make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')


def test_an_empty_folder_is_one_clear_error(tmp_path):
    (tmp_path / 'photos').mkdir()
    (tmp_path / 'tags.csv').write_text('image,tags\na,b\n')
    with pytest.raises(FileNotFoundError, match='contains no image'):
        make_own_data(tmp_path / 'set', tmp_path / 'photos', tmp_path / 'tags.csv')


def test_images_without_tags_are_kept_to_be_labelled(folder):
    make_image(folder / 'photos/new one.jpg')
    (folder / 'tags.csv').write_text((folder / 'tags.csv').read_text() + '\nnew one.jpg,\n')
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    assert data.splits['new'] == ['new_one']
    assert VOCDevkit(data.root, data.classes).image_ids('new') == ['new_one']


def test_plain_images_are_linked_and_others_converted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    kinds = {
        'plain.jpg': {},
        'grey.png': dict(mode='L'),
        'cmyk.jpg': dict(mode='CMYK'),
        'turned.jpg': dict(exif=exif),
        'palette.png': dict(mode='P'),
        'large.jpg': dict(size=(3000, 2000)),
        'other.webp': {},
        'Größe ü.JPG': {},
    }
    for name, options in kinds.items():
        make_image(tmp_path / 'photos' / name, **options)
    cv2.imwrite(str(tmp_path / 'photos/deep.png'), np.full((40, 60), 30000, np.uint16))
    tags = {name: ['thing', 'other'][k % 2 :] for k, name in enumerate([*kinds, 'deep.png'])}
    (tmp_path / 'tags.json').write_text('\ufeff' + json.dumps(tags), encoding='utf-8')
    data, _ = make_own_data(tmp_path / 'set', tmp_path / 'photos', tmp_path / 'tags.json')
    assert set(data.converted) == {'cmyk', 'turned', 'palette', 'large', 'other', 'deep'}
    devkit = VOCDevkit(data.root, data.classes)
    assert devkit.image_size('turned') == (60, 40)
    assert devkit.image_size('large') == (1067, 1600)
    assert devkit.image_path('plain').read_bytes() == (tmp_path / 'photos/plain.jpg').read_bytes()
    assert all(path.stat().st_nlink == 1 for path in data.root.rglob('JPEGImages/*'))
    for name in data.sources:  # as training reads
        image = cv2.imread(str(devkit.image_path(name)))
        assert image.dtype == np.uint8 and image.shape[:2] == devkit.image_size(name)
    assert abs(cv2.imread(str(devkit.image_path('deep'))).astype(int) - 117).max() <= 2


def test_folders_as_classes_with_equal_names_make_a_data_set(tmp_path):
    for name in ('cat/1.jpg', 'dog/1.jpg', 'dog/2 b.jpg'):
        make_image(tmp_path / 'photos' / name, (60 + len(name), 40 + ord(name[0]) - 96))
    data, _ = make_own_data(tmp_path / 'set', tmp_path / 'photos', 'folder-per-class', test_share=0)
    with (data.root / 'tags.csv').open() as file:
        assert list(csv.reader(file))[1:] == [['2_b', 'dog'], ['cat_1', 'cat'], ['dog_1', 'dog']]


def test_copies_of_an_image_are_one_image_with_all_their_tags(folder):
    for name in ('again.jpg', 'untagged.jpg'):
        shutil.copy(folder / 'photos/p00.jpg', folder / 'photos' / name)
    (folder / 'tags.csv').write_text((folder / 'tags.csv').read_text() + '\nagain.jpg,bird\nuntagged.jpg,\n')
    data, notes = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv', test_share=0)
    assert read_back(data)['again'] == ['bird', 'cat'] and not {'p00', 'untagged'} & set(data.sources) and not data.splits['new']
    assert '2 images are copies of others: p00.jpg of again.jpg, untagged.jpg of again.jpg' in notes


def test_an_image_in_the_folders_of_two_classes_has_both_tags(tmp_path):
    for name in ('cat/1.jpg', 'dog/2.jpg'):
        make_image(tmp_path / 'photos' / name)
    shutil.copy(tmp_path / 'photos/cat/1.jpg', tmp_path / 'photos/dog/copy.jpg')
    data, _ = make_own_data(tmp_path / 'set', tmp_path / 'photos', 'folder-per-class', test_share=0)
    assert read_back(data) == {'1': ['cat', 'dog'], '2': ['dog']}


def test_two_images_with_one_name_are_an_error(tmp_path):
    make_image(tmp_path / 'photos/a.jpg')
    make_image(tmp_path / 'photos/a.png')
    (tmp_path / 'tags.csv').write_text('image,tags\na.jpg,cat\na.png,dog\n')
    with pytest.raises(ValueError, match='2 images have names that differ only in the extension: a.jpg'):
        make_own_data(tmp_path / 'set', tmp_path / 'photos', tmp_path / 'tags.csv')


def test_images_without_any_tag_are_an_error(tmp_path):
    make_image(tmp_path / 'photos/a.jpg')
    (tmp_path / 'tags.csv').write_text('image,tags\na.jpg, ;\n')
    with pytest.raises(ValueError, match='No image .* has a tag'):
        make_own_data(tmp_path / 'set', tmp_path / 'photos', tmp_path / 'tags.csv')


@pytest.mark.parametrize(
    ('labels', 'words'),
    [
        ([[0]] * 20 + [[1]] * 3, ["'b' is in 3 images"]),
        ([[0]] * 20 + [[0, 1]] * 20, ["'a' is in every image, so it cannot"]),
        ([[0, 1]] * 20 + [[2]] * 20, ["'a' and 'b' always appear together"]),
        ([[0, 1]] * 20, ["'a', 'b' are in every image, so they cannot"]),
        ([[0]] * 20 + [[1]] * 20, []),
    ],
)
def test_what_may_hinder_learning_is_told(labels, words):
    sentences = advice(('a', 'b', 'c')[: 1 + max(map(max, labels))], {str(k): found for k, found in enumerate(labels)})
    assert [any(word in sentence for sentence in sentences) for word in words] == [True] * len(words)
    assert bool(sentences) == bool(words)


def test_one_class_alone_is_refused_and_nothing_is_written(folder):
    names = [path.name for path in (folder / 'photos').iterdir()]
    (folder / 'one.json').write_text(json.dumps({name: ['cat'] for name in names}))
    with pytest.raises(ValueError, match="only one class, 'cat'.*Add images of other classes"):
        make_own_data(folder / 'set', folder / 'photos', folder / 'one.json', skip=True)
    assert not (folder / 'set').exists()


def test_a_folder_that_is_no_data_set_says_how_to_make_one(tmp_path):
    with pytest.raises(FileNotFoundError, match='own_data.py init'):
        OwnData.load(Path(tmp_path))


@pytest.mark.parametrize('content', ['', '[]', '{"classes": 3}', '[' * 9000, '{"classes": ["a"], "splits": {"train": [1]}}'])
def test_a_malformed_record_is_one_line(folder, content):
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    (data.root / 'own_data.json').write_text(content)
    with pytest.raises(ValueError, match='own_data.json. is not the record of a data set') as error:
        OwnData.load(data.root)
    assert '\n' not in str(error.value)


def test_the_record_says_what_the_tags_were_made_of(folder):
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv')
    assert data.tags_from == "Names of images and classes in the file 'tags.csv'; boxes and masks there were not read."


def test_long_names_in_long_folders_are_cut_and_stay_different(folder):
    lines = ['image,tags']
    for day in 'ab':
        make_image(folder / f'photos/{day * 200}/{"n" * 200}.jpg')
        lines.append(f'{day * 200}/{"n" * 200}.jpg,cat')
    (folder / 'tags.csv').write_text((folder / 'tags.csv').read_text() + '\n'.join(['', *lines[1:]]))
    data, _ = make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv', test_share=0)
    devkit = VOCDevkit(data.root, data.classes)
    names = [name for name in devkit.image_ids('train') if 'aaa' in name or 'bbb' in name]
    assert len(names) == 2 and all(devkit.image_path(name).is_file() for name in names)


def read_back(data):
    """Tags of all images by id, read split by split as training does."""
    devkit, tags = VOCDevkit(data.root, data.classes), {}
    for split, names in data.splits.items():
        tags |= devkit.tags(split, str(data.root / 'tags.csv')) if names else {}
    return {name: [data.classes[label] for label in found] for name, found in tags.items()}


@pytest.mark.parametrize(
    ('names', 'ids'),
    [
        ([' .jpg', 'b.jpg', '\u2003.png', 'c.jpg'], None),  # names of blanks alone
        ([' .jpg', 'b.jpg', 'd.png', 'c.jpg'], ['_', 'b', 'c', 'd']),
        (['a.jpg.jpg', 'a.png', 'c.jpg', 'd.jpg'], ['a', 'a_jpg', 'c', 'd']),
        (['a.png.JPG', 'a.bmp', 'c.jpg', 'd.jpg'], ['a', 'a_png', 'c', 'd']),
        (['-a.jpg', '--help.jpg', '%s.jpg', '#1.jpg'], ['#1', '%s', '--help', '-a']),
    ],
)
@pytest.mark.parametrize('share', [0, 0.5])
def test_a_data_set_of_images_with_any_names_can_be_read_split_by_split(tmp_path, names, ids, share):
    for name in names:
        make_image(tmp_path / 'photos' / name)
    tags = {name: ['cat' if k % 2 else 'dog'] for k, name in enumerate(names)}
    (tmp_path / 'tags.json').write_text(json.dumps(tags))
    if ids is None:
        with pytest.raises(ValueError, match='2 images have names that differ only in the extension'):
            make_own_data(tmp_path / 'set', tmp_path / 'photos', tmp_path / 'tags.json', share)
        return
    data, _ = make_own_data(tmp_path / 'set', tmp_path / 'photos', tmp_path / 'tags.json', share)
    assert sorted(read_back(data)) == ids
    assert {Path(data.sources[name]).name: found for name, found in read_back(data).items()} == tags


def test_a_share_that_leaves_nothing_of_a_class_to_train_with_is_refused(folder):
    with pytest.raises(ValueError, match="A test share of 0.99 leaves no training image of 'cat'"):
        make_own_data(folder / 'set', folder / 'photos', folder / 'tags.csv', test_share=0.99)
    assert not (folder / 'set').exists()


@pytest.mark.parametrize('kind', ['folders', 'columns', 'coco', 'yolo'])
def test_classes_of_the_source_that_no_image_shows_are_named(folder, kind):
    tags, images = folder / 'tags', [f'p{k:02d}.jpg' for k in range(12)]
    if kind == 'folders':
        for k, name in enumerate(images):
            make_image(folder / f'classes/{("cat", "dog")[k % 2]}/{name}', (40 + k, 40))
        (folder / 'classes/bird').mkdir()
        (folder / 'classes/.hidden').mkdir()
    elif kind == 'columns':
        tags = folder / 'columns.csv'
        tags.write_text('image,cat,dog,bird\n' + ''.join(f'{name},{k % 2},{1 - k % 2},0\n' for k, name in enumerate(images)))
    elif kind == 'coco':
        (tags / 'annotations').mkdir(parents=True)
        content = dict(images=[dict(id=k, file_name=name) for k, name in enumerate(images)])
        content |= dict(annotations=[dict(image_id=k, category_id=k % 2) for k in range(12)])
        content |= dict(categories=[dict(id=k, name=name) for k, name in enumerate(('cat', 'dog', 'bird'))])
        (tags / 'annotations/instances_all.json').write_text(json.dumps(content))
    else:
        (tags / 'labels').mkdir(parents=True)
        (tags / 'data.yaml').write_text('names: [cat, dog, bird]')
        for k in range(12):
            (tags / f'labels/p{k:02d}.txt').write_text(f'{k % 2} 0.5 0.5 0.1 0.1')
    where = ('classes', 'folder-per-class') if kind == 'folders' else ('photos', tags)
    data, warnings = make_own_data(folder / 'set', folder / where[0], where[1])
    assert data.classes == ('cat', 'dog') and "1 class has no images and cannot be learnt: 'bird'" in warnings
