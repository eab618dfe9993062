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
def wanted(labels):
    """Objects of every image by its name: class, box, run-length code, weight, heaviest first."""
    return {
        image['file_name']: [
            (labels.classes[a['category_id'] - 1], tuple(a['bbox']), a['segmentation'], a['weight'])
            for a in labels.annotations[image['id']]
        ]
        for image in labels.images
    }
