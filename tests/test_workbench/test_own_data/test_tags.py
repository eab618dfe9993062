import json
from pathlib import Path

import pytest

from mmlabelpenet.workbench.own_data.tags import folder_entries, listed, match_pictures, merge_classes, read_entries

PICTURES = [Path('root') / name for name in ('IMG_1.JPG', 'two words.png', 'sub/deep.jpg', 'größe.jpg', 'a/same.jpg', 'b/same.jpg')]


def write(tmp_path, text, name='tags.csv', encoding='utf-8'):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def pairs(entries):
    return [(entry.image, [tag.strip() for tag in entry.tags if tag.strip()]) for entry in entries]


@pytest.mark.parametrize(
    'text',
    [
        'image,tags\na.jpg,cat;dog\nb.jpg,\n',
        'image,tags\r\na.jpg,"cat,dog"\r\nb.jpg,\r\n',
        'Image ; Tags\na.jpg;cat|dog\nb.jpg;\n',
        'filename\tlabels\na.jpg\tcat;dog\nb.jpg\t\n',
        'id,image,tags\n1,a.jpg,cat;dog\n2,b.jpg,\n',
        'tags,image\n"cat, dog",a.jpg\n,b.jpg\n',
        'image,tags\na.jpg,cat,dog\nb.jpg\n',
        '\nimage,tags\n\n  a.jpg ,  cat ;  dog\n b.jpg, \n\n',
    ],
)
def test_csv_of_any_dialect_means_the_same(tmp_path, text):
    assert [(image.strip(), tags) for image, tags in pairs(read_entries(write(tmp_path, text)))] == [
        ('a.jpg', ['cat', 'dog']),
        ('b.jpg', []),
    ]


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json'])
def test_a_byte_order_mark_is_passed_over(tmp_path, name):
    text = 'image,tags\na.jpg,cat\n' if name.endswith('csv') else '{"a.jpg": ["cat"]}'
    assert pairs(read_entries(write(tmp_path, text, name, 'utf-8-sig'))) == [('a.jpg', ['cat'])]


@pytest.mark.parametrize('encoding', ['utf-16', 'latin-1'])
def test_another_encoding_is_an_error_that_tells_what_to_do(tmp_path, encoding):
    with pytest.raises(ValueError, match='UTF-8'):
        read_entries(write(tmp_path, 'image,tags\ngröße.jpg,cat\n', encoding=encoding))


def test_one_line_per_tag_joins_to_one_picture(tmp_path):
    entries = read_entries(write(tmp_path, 'image,tag\nIMG_1.JPG,cat\nIMG_1.JPG,dog\n'))
    assert match_pictures(entries, Path('root'), PICTURES)[0] == {PICTURES[0]: {'cat', 'dog'}}


@pytest.mark.parametrize('content', [{'a.jpg': ['cat'], 'b.jpg': []}, [{'image': 'a.jpg', 'tags': 'cat'}, {'image': 'b.jpg', 'tags': []}]])
def test_json_of_both_forms_is_read(tmp_path, content):
    assert pairs(read_entries(write(tmp_path, json.dumps(content), 'tags.json'))) == [('a.jpg', ['cat']), ('b.jpg', [])]


def test_of_coco_only_names_and_categories_are_read(tmp_path):
    box = dict(bbox='poison', segmentation='poison')
    content = dict(
        images=[dict(id=7, file_name='a.jpg'), dict(id=8, file_name='b.jpg')],
        annotations=[dict(id=1, image_id=7, category_id=3, **box), dict(id=2, image_id=7, category_id=3, **box)],
        categories=[dict(id=3, name='cat')],
    )
    assert pairs(read_entries(write(tmp_path, json.dumps(content), 'coco.json'))) == [('a.jpg', ['cat', 'cat']), ('b.jpg', [])]
    content['annotations'][0]['category_id'] = 99
    with pytest.raises(ValueError, match='no COCO file: KeyError\\(99\\)'):
        read_entries(write(tmp_path, json.dumps(content), 'coco.json'))


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('tags.csv', 'picture;what\na.jpg;cat\n', "columns 'image' and 'tags'"),
        ('tags.csv', 'image,tags\n,cat\n', 'Line 2'),
        ('tags.csv', 'image,tags\n', 'holds no picture'),
        ('tags.csv', '', "columns 'image' and 'tags'"),
        ('tags.json', '{"a": ["cat"], "a": []}', 'stands twice'),
        ('tags.json', '{"a": ', 'not readable as JSON'),
        ('tags.json', '{"a": 3}', 'entry 1'),
        ('tags.json', '"a"', 'got str'),
        ('tags.xlsx', '', 'tags.xlsx'),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_entries(write(tmp_path, text, name))


@pytest.mark.parametrize(
    ('name', 'picture'),
    [
        ('IMG_1.JPG', 0),
        ('img_1.jpg', 0),
        ('img_1', 0),
        ('  two   words.png ', 1),
        ('two words', 1),
        ('sub/deep.jpg', 2),
        ('.\\sub\\deep.jpg', 2),
        ('deep', 2),
        ('elsewhere/deep.jpg', 2),
        ('gro\u0308\u00dfe.jpg', 3),
        ('b/same', 5),
    ],
)
def test_pictures_are_found_by_any_usual_name(tmp_path, name, picture):
    entries = read_entries(write(tmp_path, json.dumps({name: ['cat']}), 'tags.json'))
    assert list(match_pictures(entries, Path('root'), PICTURES)[0]) == [PICTURES[picture]]


def test_names_that_fit_none_or_several_pictures_are_listed(tmp_path):
    entries = read_entries(write(tmp_path, 'image,tags\nnone.jpg,cat\nsame.jpg,cat\n'))
    assert match_pictures(entries, Path('root'), PICTURES) == ({}, ["'none.jpg' (line 2)"], ["'same.jpg' (line 3)"])


def test_letter_case_and_spaces_do_not_make_a_class():
    a, b, c = Path('a'), Path('b'), Path('c')
    assert merge_classes({a: {'Cat'}, b: {'cat', 'DOG'}, c: {'cat'}}) == (['cat', 'DOG'], {a: [0], b: [0, 1], c: [0]})


def test_folders_are_classes_and_a_picture_in_two_has_both(tmp_path):
    for name, content in (('cat/1.jpg', b'x'), ('dog/1.jpg', b'y'), ('dog/copy.jpg', b'x')):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    paths = sorted(tmp_path.rglob('*.jpg'))
    entries, pictures = folder_entries(tmp_path, paths)
    assert [(entry.image, entry.tags) for entry in entries] == [('cat/1.jpg', ('cat', 'dog')), ('dog/1.jpg', ('dog',))]
    assert pictures == [tmp_path / 'cat/1.jpg', tmp_path / 'dog/1.jpg']
    (tmp_path / 'loose.jpg').write_bytes(b'z')
    with pytest.raises(ValueError, match='loose.jpg'):
        folder_entries(tmp_path, [*paths, tmp_path / 'loose.jpg'])


def test_a_short_list_is_given_whole():
    assert listed(['a', 'b']) == 'a, b'
