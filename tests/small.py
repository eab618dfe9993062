"""Reduced configs: the same parts and data, few pixels, thin layers, one iteration per phase, no weights from files."""

from pathlib import Path

from mmengine.config import Config

from mmlabelpenet.apis import load_config
from mmlabelpenet.apis.config import phase_lengths

ROOT = Path(__file__).resolve().parents[1]
LEAVES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/[!_]*/**/*.py'))
IMAGES = dict(img_scale=(96, 64), crop_size=(64, 64), size=(64, 64), scale=(128, 96), scales=[(128, 96)])
LAYERS = dict(num_points=64, num_queries=6, num_layers=1, num=64, nms_pre=50, max_per_img=20, max_per_image=20, fc_out_channels=32)
LAYERS |= dict(feedforward_channels=32, size=(64, 64), init_cfg=None)


def is_retrained(leaf):
    """Whether a config is one of mmdet's models on pseudo labels."""
    return Path(leaf).parent.name == 'retrain'


def shrink(node):
    """Small images, fewer and narrower layers, fewer RoIs, no weights from files; in place."""
    if isinstance(node, dict):
        for key, small in (('fc_out_channels', 16), ('max_per_img', 12), ('nms_pre', 50)):
            if key in node:
                node[key] = small
        if node.get('type') == 'MILBBoxHead':
            node['fc_channels'] = (16,) * len(node.get('fc_channels', (4096, 4096)))
        if node.get('type') == 'RandomChoiceResize':
            node['scales'] = [(64, 48)]
        if node.get('type') == 'Resize':
            node |= dict(scale=(64, 48), scale_factor=None, keep_ratio=True)
        node.pop('init_cfg', None)
        for value in node.values():
            shrink(value)
    elif isinstance(node, (list, tuple)):
        for value in node:
            shrink(value)


def replace(node, values):
    """Other values for keys of mmdet's configs, wherever they are set; in place."""
    if isinstance(node, dict):
        node |= {key: values[key] for key in node.keys() & values.keys() if node[key] is not None}
    for value in node.values() if isinstance(node, dict) else node:
        if isinstance(value, dict | list | tuple):
            replace(value, values)


def small_config(leaf, iters=1):
    """A reduced version of a config, given by its path below the project root; data paths are unchanged."""
    config = load_config(ROOT / leaf)
    content = config._cfg_dict
    if is_retrained(leaf):
        replace(content['model'], LAYERS)
        for loader in ('train_dataloader', 'test_dataloader'):
            replace(content[loader]['dataset'], IMAGES)
        config.train_cfg.update({key: iters for key in ('max_epochs', 'max_iters') if key in config.train_cfg})
    else:
        shrink(content)
        for phase in phase_lengths(config):
            config.train_cfg.phases[phase].update(iters=iters)
    for loader in (key for key in config if key.endswith('_dataloader') and config[key] is not None):
        config[loader].update(num_workers=0, persistent_workers=False)
        config[loader].pop('pin_memory', None)
        config[loader].batch_size = min(config[loader].get('batch_size', 1), 2)
    return Config(config.to_dict(), filename=str(ROOT / leaf), format_python_code=False)  # formatting would take most of the time
