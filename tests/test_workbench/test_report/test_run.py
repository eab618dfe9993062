import json
import os

import pytest

from mmlabelpenet.workbench.report.run import find_stores, last_config

STORE = json.dumps(dict(info={}, images=[], annotations=[], categories=[]))


def write_stores(folder, names):
    folder.mkdir(parents=True)
    for age, name in enumerate(names):
        (folder / f'{name}.json').write_text(STORE)
        os.utime(folder / f'{name}.json', (100 + age, 100 + age))
    return folder


def test_stores_of_a_work_dir_come_in_the_order_of_its_stages(tmp_path):
    stores = write_stores(tmp_path / 'run/pseudo_labels', ['attic', 'boxes', 'unknown', 'zeal'])
    (tmp_path / 'run/20260101/vis_data').mkdir(parents=True)
    (tmp_path / 'run/20260101/vis_data/config.py').write_text('model = dict(stages=dict(zeal={}, boxes={}, attic={}, last={}))')
    assert list(find_stores(stores)) == ['zeal', 'boxes', 'attic']
    assert list(last_config(tmp_path / 'run').model.stages) == ['zeal', 'boxes', 'attic', 'last']


def test_stores_elsewhere_come_in_the_order_of_writing(tmp_path):
    stores = write_stores(tmp_path / 'stores', ['zeal', 'boxes', 'attic'])
    (stores / 'other.json').write_text('[]')
    assert find_stores(stores) == {name: stores / f'{name}.json' for name in ('zeal', 'boxes', 'attic')}
    assert find_stores(stores / 'boxes.json') == {'boxes': stores / 'boxes.json'}


def test_a_place_without_store_is_an_error(tmp_path):
    (tmp_path / 'other.json').write_text('{}')
    for place in (tmp_path, tmp_path / 'missing.json'):
        with pytest.raises(FileNotFoundError, match='neither a label store nor a folder'):
            find_stores(place)
