"""Registries of mmlabelpenet: children of mmdet's, so that a config can use classes of both packages.

Set ``default_scope = 'mmlabelpenet'`` in a config; a type that is not found here is looked up in mmdet and then in mmengine.

Importing this module also lets mmengine find configs named ``mmlabelpenet::path``, as bases and in ``mmengine.hub``.
"""

from mmdet import registry as mmdet_registry
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.registry import WEIGHT_INITIALIZERS as MMENGINE_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

MODULE2PACKAGE['mmlabelpenet'] = 'mmlabelpenet'  # module name -> pip name of each package with configs in .mim


def _child(name: str, parent: str, *locations: str) -> Registry:
    return Registry(name, parent=getattr(mmdet_registry, parent), locations=list(locations))


MODELS = _child('model', 'MODELS', 'mmlabelpenet.models', 'mmlabelpenet.workbench.variants', 'mmdet.models')
TASK_UTILS = _child('task util', 'TASK_UTILS', 'mmlabelpenet.models', 'mmlabelpenet.workbench.variants', 'mmdet.models')
LABEL_GENERATORS = Registry('label generator', locations=['mmlabelpenet.calibration', 'mmlabelpenet.workbench.variants'])
DATASETS = _child(
    'dataset',
    'DATASETS',
    'mmlabelpenet.datasets.voc_tags',
    'mmlabelpenet.datasets.wrappers',
    'mmlabelpenet.workbench.exports.weighted',
    'mmdet.datasets',
)
DATA_SAMPLERS = _child('data sampler', 'DATA_SAMPLERS', 'mmlabelpenet.datasets.samplers')
TRANSFORMS = _child(
    'transform', 'TRANSFORMS', 'mmlabelpenet.datasets.transforms', 'mmlabelpenet.workbench.exports.weighted', 'mmdet.datasets.transforms'
)
LOOPS = _child('loop', 'LOOPS', 'mmlabelpenet.engine')
HOOKS = _child(
    'hook', 'HOOKS', 'mmlabelpenet.engine', 'mmlabelpenet.workbench.report', 'mmlabelpenet.workbench.variants', 'mmdet.engine.hooks'
)
OPTIM_WRAPPERS = _child('optim_wrapper', 'OPTIM_WRAPPERS', 'mmlabelpenet.engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('optimizer wrapper constructor', 'OPTIM_WRAPPER_CONSTRUCTORS', 'mmlabelpenet.engine')
OPTIMIZERS = _child('optimizer', 'OPTIMIZERS', 'mmlabelpenet.engine')
PARAM_SCHEDULERS = _child('parameter scheduler', 'PARAM_SCHEDULERS', 'mmlabelpenet.engine')
LOG_PROCESSORS = _child('log_processor', 'LOG_PROCESSORS', 'mmlabelpenet.engine')
MODEL_WRAPPERS = _child('model_wrapper', 'MODEL_WRAPPERS', 'mmlabelpenet.models')
VISUALIZERS = _child('visualizer', 'VISUALIZERS', 'mmdet.visualization')
VISBACKENDS = _child('vis_backend', 'VISBACKENDS', 'mmdet.visualization')
METRICS = _child('metric', 'METRICS', 'mmlabelpenet.evaluation.metrics', 'mmlabelpenet.evaluation.ground_truth')
WEIGHT_INITIALIZERS = Registry('weight initializer', parent=MMENGINE_WEIGHT_INITIALIZERS, locations=['mmlabelpenet.models'])
