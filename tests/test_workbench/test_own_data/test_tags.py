import json
import os
from pathlib import Path

import pytest

from mmlabelpenet.workbench.own_data.entries import Entry
from mmlabelpenet.workbench.own_data.tags import listed, match_images, merge_classes, read_entries

PATHS = [Path('root') / name for name in ('IMG_1.JPG', 'two words.png', 'sub/deep.jpg', 'größe.jpg', 'a/same.jpg', 'b/same.jpg')]


def write(tmp_path, text, name='tags.csv', encoding='utf-8'):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def pairs(entries):
    return [(entry.image, [tag.strip() for tag in entry.tags if tag.strip()]) for entry in entries]


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json'])
def test_a_byte_order_mark_is_passed_over(tmp_path, name):
    text = 'image,tags\na.jpg,cat\n' if name.endswith('csv') else '{"a.jpg": ["cat"]}'
    assert pairs(read_entries(write(tmp_path, text, name, 'utf-8-sig'))) == [('a.jpg', ['cat'])]


@pytest.mark.parametrize('encoding', ['utf-16', 'latin-1'])
def test_another_encoding_is_an_error_that_tells_what_to_do(tmp_path, encoding):
    with pytest.raises(ValueError, match='UTF-8'):
        read_entries(write(tmp_path, 'image,tags\ngröße.jpg,cat\n', encoding=encoding))


def test_one_line_per_tag_joins_to_one_image(tmp_path):
    entries = read_entries(write(tmp_path, 'image,tag\nIMG_1.JPG,cat\nIMG_1.JPG,dog\n'))
    assert match_images(entries, Path('root'), PATHS)[0] == {PATHS[0]: {'cat', 'dog'}}


@pytest.mark.parametrize(
    ('name', 'image'),
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
def test_images_are_found_by_any_usual_name(tmp_path, name, image):
    entries = read_entries(write(tmp_path, json.dumps({name: ['cat']}), 'tags.json'))
    assert list(match_images(entries, Path('root'), PATHS)[0]) == [PATHS[image]]


def test_names_that_fit_none_or_several_images_are_listed(tmp_path):
    entries = read_entries(write(tmp_path, 'image,tags\nnone.jpg,cat\nsame.jpg,cat\n'))
    assert match_images(entries, Path('root'), PATHS) == ({}, ["'none.jpg' (line 2)"], ["'same.jpg' (line 3)"])


def test_letter_case_and_spaces_do_not_make_a_class():
    a, b, c = Path('a'), Path('b'), Path('c')
    assert merge_classes({a: {'Cat'}, b: {'cat', 'DOG'}, c: {'cat'}}) == (['cat', 'DOG'], {a: [0], b: [0, 1], c: [0]})


def test_characters_that_cannot_be_seen_do_not_make_a_class(tmp_path):
    text = 'image,tags\np0.jpg,cat\np1.jpg,\u200bcat\np2.jpg,ca\u00adt\np3.jpg,\u202ecat\np4.jpg,🐈\u200d⬛\np5.jpg,\u200b\n'
    (tmp_path / 'tags.csv').write_text(text, encoding='utf-8')
    names = [Path(f'p{k}.jpg') for k in range(6)]
    tags, *_ = match_images(read_entries(tmp_path / 'tags.csv'), Path(), names)
    classes, labels = merge_classes(tags)
    assert classes == ['cat', '🐈\u200d⬛'] and [labels[name] for name in names] == [[0], [0], [0], [0], [1], []]


def test_a_short_list_is_given_whole():
    assert listed(['a', 'b']) == 'a, b'


@pytest.mark.parametrize(
    ('name', 'text', 'message'),
    [
        ('tags.csv', 'image;what\na.jpg;cat\n', "columns 'image' and 'tags'"),
        ('tags.csv', 'image,tags\n,cat\n', 'Line 2'),
        ('tags.csv', 'image,tags\n', 'contains no image'),
        ('tags.csv', '', 'the table is empty'),
        ('tags.json', '{"a": ["cat"], "a": []}', 'appears twice'),
        ('tags.json', '{"a": ', 'not readable as JSON'),
        ('tags.json', '{"a": 3}', 'entry 1'),
        ('tags.json', '"a"', 'got str'),
        ('tags.xlsx', '', 'tags.xlsx'),
    ],
)
def test_a_malformed_file_is_one_clear_error(tmp_path, name, text, message):
    with pytest.raises(ValueError, match=message):
        read_entries(write(tmp_path, text, name))


def test_names_of_label_studio_and_roboflow_find_their_images():
    paths = [Path('root') / name for name in ('cat.jpg', 'Größe ü 9.png', 'sub/dog_1.jpeg', 'bird_png.rf.0aF3.jpg', '0a1b2c3d-fox.jpg')]
    names = {
        '/data/upload/3/1a2b3c4d-cat.jpg': 0,
        's3://bucket/some/cat.jpg': 0,
        'https://host/files/cat.jpg?token=x': 0,
        '/data/local-files/?d=sub/dog_1.jpeg': 2,
        '/data/upload/1/1a2b3c4d-Gr%C3%B6%C3%9Fe%20%C3%BC%209.png': 1,
        'cat_jpg.rf.8e1fA0.jpg': 0,
        'dog_1_jpeg.rf.00ff.jpg': 2,
        'bird.png': 3,
        'fox.jpg': 4,
        'bird_png.rf.0aF3.jpg': 3,
    }
    for name, index in names.items():
        found, unknown, ambiguous = match_images([Entry(name, ('x',), 'line 1')], Path('root'), paths)
        assert list(found) == [paths[index]] and not unknown and not ambiguous, name


def test_several_copies_of_one_original_are_told_apart_by_their_whole_names():
    paths = [Path('root') / f'cat_jpg.rf.{k}.jpg' for k in range(2)]
    assert match_images([Entry('cat.jpg', ('x',), 'line 2')], Path('root'), paths) == ({}, [], ["'cat.jpg' (line 2)"])
    assert list(match_images([Entry('cat_jpg.rf.1.jpg', ('x',), 'line 2')], Path('root'), paths)[0]) == [paths[1]]


def test_a_tag_of_several_others_is_refused_and_a_name_with_a_separator_is_a_class():
    a, b = Path('a'), Path('b')
    with pytest.raises(ValueError, match="Tag 'cat; dog' looks like several tags, since 'dog' is one"):
        merge_classes({a: {'cat; dog'}, b: {'Dog'}})
    assert merge_classes({a: {'cup; mug'}, b: {'salt, pepper'}})[0] == ['cup; mug', 'salt, pepper']


def test_a_message_is_one_short_line_whatever_the_file(tmp_path):
    many = 'x' * 4000
    texts = {
        'a.csv': f'image,what\na.jpg,{many}',
        'b.csv': ','.join(f'column {k}' for k in range(900)),
        'c.json': json.dumps([[many]]),
        'd.json': json.dumps({many: 3}),
        'e.json': '[' * 4000,
        'f.csv': f'image,tags\na.jpg,"[{many}"',
        'g.xlsx': many,
        'h.xml': '<annotations>' + '<image/>' * 3000 + '</annotations>',
        'i.csv': 'image,tags\n' + ',x' * 3000,
        'j.json': '{"a": NaN',
        'k.json': json.dumps([dict(data=dict(text=many))]),
        'l.csv': f'image,tags,x,y\na.jpg,b,c,{many},e,f,g',
    }
    for name, text in texts.items():
        with pytest.raises(ValueError) as error:
            read_entries(write(tmp_path, text, name))
        message = str(error.value).replace(str(tmp_path), '')
        assert len(message) <= 300 and '\n' not in message and name in message, (name, message)


@pytest.mark.parametrize('name', ['tags.csv', 'tags.json', '63'])
def test_tags_from_a_pipe_are_not_called_missing(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(FileNotFoundError, match=f"^Expected a regular file at '.*{name}', got a pipe.$"):
        read_entries(tmp_path / name)
