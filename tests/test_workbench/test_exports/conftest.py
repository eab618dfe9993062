import difficult
import pytest

from mmlabelpenet.workbench.exports.labels import choose_labels


@pytest.fixture(scope='session')
def images(tmp_path_factory):
    return tmp_path_factory.mktemp('difficult')


@pytest.fixture(scope='session')
def store(images):
    return difficult.make(images)


@pytest.fixture
def labels(store):
    return choose_labels(store)


@pytest.fixture
def notes(labels):
    """Every image's name and its annotations, heaviest first."""
    return {image['file_name']: labels.annotations[image['id']] for image in labels.images}
