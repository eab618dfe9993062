import pytest

from mmlabelpenet.models.label_penet import LabelPENet


@pytest.fixture
def scene(toy_net: LabelPENet, toy_batch):
    """``(net, feature, samples, images)``; scores of the toy are spread enough to rank proposals."""
    inputs, samples = toy_batch
    return toy_net, toy_net.extract_feat(inputs), samples, toy_net.data_preprocessor.images(inputs, samples)
