import json

import pytest

from mmlabelpenet.workbench.own_data.tags import read_entries


def write(tmp_path, text, name='tags.csv', encoding='utf-8'):
    (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path / name


def pairs(entries):
    return [(entry.image, [tag.strip() for tag in entry.tags if tag.strip()]) for entry in entries]


@pytest.mark.parametrize('content', [{'a.jpg': ['cat'], 'b.jpg': []}, [{'image': 'a.jpg', 'tags': 'cat'}, {'image': 'b.jpg', 'tags': []}]])
def test_json_of_both_forms_is_read(tmp_path, content):
    assert pairs(read_entries(write(tmp_path, json.dumps(content), 'tags.json'))) == [('a.jpg', ['cat']), ('b.jpg', [])]


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(categories=[dict(id=1, name='cat'), dict(id=1, name='dog')]), 'duplicate ids among its categories'),
        (dict(images=[dict(id=1, file_name='a.jpg'), dict(id=1, file_name='b.jpg')]), 'duplicate ids among its images'),
        (dict(annotations=[dict(image_id=7, category_id=1)]), r'annotations\[0\] of .* has the unknown image_id 7'),
        (dict(categories=[dict(id=1, name=None)]), r'\$\.categories\[0\]\.name'),
        (dict(images=[dict(id=1, file_name=5)]), r'\$\.images\[0\]\.file_name'),
        (dict(annotations={}), 'annotations'),
    ],
)
def test_a_damaged_coco_file_is_refused_with_the_place(tmp_path, change, said):
    content = dict(
        images=[dict(id=1, file_name='a.jpg')], categories=[dict(id=1, name='cat')], annotations=[dict(image_id=1, category_id=1)]
    )
    with pytest.raises(ValueError, match=said) as caught:
        read_entries(write(tmp_path, json.dumps(content | change), 'coco.json'))
    assert 'coco.json' in str(caught.value) and '\n' not in str(caught.value)


def test_of_coco_only_names_and_categories_are_read(tmp_path):
    box = dict(bbox='poison', segmentation='poison')
    content = dict(
        images=[dict(id=7, file_name='a.jpg'), dict(id=8, file_name='b.jpg')],
        annotations=[dict(id=1, image_id=7, category_id=3, **box), dict(id=2, image_id=7, category_id=3, **box)],
        categories=[dict(id=3, name='cat')],
    )
    assert pairs(read_entries(write(tmp_path, json.dumps(content), 'coco.json'))) == [('a.jpg', ['cat', 'cat']), ('b.jpg', [])]
    content['annotations'][0]['category_id'] = 99
    with pytest.raises(ValueError, match=r'annotations\[\d\] of .*coco.json. has the unknown category_id 99'):
        read_entries(write(tmp_path, json.dumps(content), 'coco.json'))


def test_strings_with_separators_and_missing_values_mean_what_they_mean_in_tables(tmp_path):
    content = {
        'a.jpg': 'cat; dog',
        'b.jpg': None,
        'c.jpg': ['cat', None, 'NaN'],
        'd.jpg': 'nan',
        'e.jpg': ['salt, pepper'],
        'f.jpg': "['cat']",
    }
    found = dict(pairs(read_entries(write(tmp_path, json.dumps(content), 'tags.json'))))
    assert found == {'a.jpg': ['cat', 'dog'], 'b.jpg': [], 'c.jpg': ['cat'], 'd.jpg': [], 'e.jpg': ['salt, pepper'], 'f.jpg': ['cat']}


def result(kind, *names, **more):
    return dict(type=kind, from_name='label', to_name='image', value={kind: list(names)} | more)


@pytest.mark.parametrize(
    ('change', 'said'),
    [
        (dict(annotations=5), "a list of objects as 'annotations' in entry 1 of .*tags.json., got 5. Export"),
        (dict(annotations='cat'), "a list of objects as 'annotations' in entry 1 of .*tags.json., got 'cat'. Export"),
        (dict(completions=[7]), r"a list of objects as 'completions' in entry 1 of .*tags.json., got \[7\]. Export"),
        (dict(annotations=[dict(result=3)]), "a list of objects as 'result' in entry 1 of .*tags.json., got 3. Export"),
        (dict(annotations=[dict(result=[None])]), r"a list of objects as 'result' in entry 1 of .*tags.json., got \[None\]. Export"),
        (dict(annotations=[dict(result=[result('choices', 5)])]), "names of labels as 'choices' in entry 1 of .*tags.json., got 5. Export"),
        (
            dict(annotations=[dict(result=[dict(value=dict(labels=dict(a=1)))])]),
            "names of labels as 'labels' in entry 1 of .*, got {'a': 1}",
        ),
    ],
)
def test_a_field_of_another_type_is_refused_with_the_place(tmp_path, change, said):
    with pytest.raises(ValueError, match=f'^Expected {said}'):
        read_entries(write(tmp_path, json.dumps([dict(data=dict(image='a.jpg')) | change]), 'tags.json'))


@pytest.mark.parametrize(
    'change', [{}, dict(annotations=None), dict(annotations=[dict(result=None)]), dict(annotations=[dict(result=[{}])])]
)
def test_a_task_without_results_has_no_tags(tmp_path, change):
    task = dict(data=dict(image='a.jpg')) | change
    assert pairs(read_entries(write(tmp_path, json.dumps([task]), 'tags.json'))) == [('a.jpg', [])]


def test_nested_choices_are_all_tags(tmp_path):
    task = dict(data=dict(image='a.jpg'), annotations=[dict(result=[result('taxonomy', ['animal', 'cat'])])])
    assert pairs(read_entries(write(tmp_path, json.dumps([task]), 'tags.json'))) == [('a.jpg', ['animal', 'cat'])]


def test_exports_of_label_studio_are_read_names_alone(tmp_path):
    poison = dict(x='poison', y=[1], width={})
    tasks = [
        dict(id=1, data=dict(image='/data/upload/1/1a2b3c4d-a.jpg', text='hello'), annotations=[
            dict(id=1, result=[result('choices', 'cat', 'dog'), result('rectanglelabels', 'cat', **poison)]),
            dict(id=2, was_cancelled=True, result=[result('choices', 'fox')]),
        ], predictions=[dict(result=[result('choices', 'wolf')])]),
        dict(id=2, data=dict(image='/data/upload/1/1a2b3c4d-b.jpg'), annotations=[dict(id=3, result=[])]),
    ]  # fmt: skip
    short = [
        dict(id=1, image='/data/upload/1/1a2b3c4d-a.jpg', annotator=1, annotation_id=1, created_at='x', updated_at='y', lead_time=2.5,
             choice=dict(choices=['cat', 'dog']), label=[dict(rectanglelabels=['cat'], **poison)]),
        dict(id=2, image='/data/upload/1/1a2b3c4d-b.jpg', annotator=1, annotation_id=2),
    ]  # fmt: skip
    for content in (tasks, short):
        found = pairs(read_entries(write(tmp_path, json.dumps(content), 'tags.json')))
        assert [(image[-5:], sorted(set(tags))) for image, tags in found] == [('a.jpg', ['cat', 'dog']), ('b.jpg', [])]
    tasks[0]['data'] = dict(text='hello')
    with pytest.raises(ValueError, match='Entry 1 of .* is a Label Studio task whose data has no image name'):
        read_entries(write(tmp_path, json.dumps(tasks), 'tags.json'))
