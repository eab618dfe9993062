"""Image lists of a devkit."""

from mmlabelpenet.workbench.voc_files import write_lists


def test_each_class_has_a_list_of_its_own(tmp_path):
    write_lists(tmp_path, 'train', {'a': {'cat'}, 'b': {'dog'}}, ['cat', 'dog'], None)
    lists = {path.stem: path.read_text().split() for path in (tmp_path / 'ImageSets/Main').iterdir()}
    assert lists == dict(train=['a', 'b'], cat_train=['a', '1', 'b', '-1'], dog_train=['a', '-1', 'b', '1'])
