"""Registries of mmlabelpenet: children of mmdet's, so that both families build from one config.

Set ``default_scope = 'mmlabelpenet'`` in a config; a type that is not found here is looked up in mmdet and then in mmengine.
"""

from mmdet import registry as mmdet_registry
from mmengine.registry import Registry


def _child(name: str, parent: str, location: str) -> Registry:
    return Registry(
        name,
        parent=getattr(mmdet_registry, parent),
        scope='mmlabelpenet',
        locations=[f'mmlabelpenet.{location}'],
    )


MODELS = _child('model', 'MODELS', 'models')
TASK_UTILS = _child('task util', 'TASK_UTILS', 'models')
LABEL_GENERATORS = Registry('label generator', scope='mmlabelpenet', locations=['mmlabelpenet.calibration'])
DATASETS = _child('dataset', 'DATASETS', 'datasets')
DATA_SAMPLERS = _child('data sampler', 'DATA_SAMPLERS', 'datasets')
TRANSFORMS = _child('transform', 'TRANSFORMS', 'datasets')
LOOPS = _child('loop', 'LOOPS', 'engine')
HOOKS = _child('hook', 'HOOKS', 'engine')
METRICS = _child('metric', 'METRICS', 'evaluation')
