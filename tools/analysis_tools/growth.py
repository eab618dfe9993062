"""How the cost of making labels grows: time and peak memory against proposals, image size, tags, classes and training images.

    python tools/analysis_tools/growth.py docs/images/growth.svg --json growth.json

Each point is a process of its own with one thread, so that its peak of memory is its own; its time is that of the CPU, so that other work
on the machine matters little. An axis varies one number, the others stay at 1,000 proposals, 500 x 375 pixels, 2 tags, 20 classes.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import time
from pathlib import Path
from typing import Any

from mmlabelpenet.terminal import run

AXES: dict[str, list[int]] = {
    'proposals': [250, 500, 1000, 2000, 4000],
    'size': [320, 500, 800, 1200],
    'tags': [1, 2, 4, 8],
    'classes': [5, 20, 80],
    'images': [100, 300, 1000, 3000, 10000],
}
LABELS = dict(proposals='proposals', size='longer side, pixels', tags='tags', classes='classes', images='training images, label pass')
HERE = Path(__file__).resolve()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'figure', nargs='?', type=Path, default=Path('docs/images/growth.svg'), help='.svg or .png (default: docs/images/growth.svg)'
    )
    parser.add_argument('--json', type=Path, help='write the numbers there too')
    parser.add_argument('--axes', nargs='+', choices=AXES, default=list(AXES), help='default: all')
    parser.add_argument('--most', type=int, default=10**9, help='leave points above this number out')
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Measure point by point, then draw."""
    args = parse_args(argv)
    prepare()
    points = []
    with multiprocessing.get_context('fork').Pool(1, maxtasksperchild=1) as pool:
        for point in ((axis, number) for axis in args.axes for number in AXES[axis] if number <= args.most):
            points.append(pool.apply(measure_point, point))
            print(json.dumps(points[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps(points, indent=1) + '\n')
    draw(points, args.figure)


def prepare() -> None:
    """Import everything once; the points are forks of this process."""
    import torch
    from mmengine.logging import MMLogger
    from mmengine.registry import init_default_scope

    from mmlabelpenet.registry import MODELS

    sys.path[:0] = [str(HERE.parent), str(HERE.parent / 'benchmarks')]
    MMLogger.get_current_instance().setLevel('ERROR')
    init_default_scope('mmlabelpenet')
    MODELS.import_from_location()
    torch.set_num_threads(1)


def measure_point(axis: str, number: int) -> dict[str, Any]:
    """Seconds of CPU and the peak of memory beyond what was there before."""
    import torch

    torch.manual_seed(0)
    run = label_pass(number) if axis == 'images' else label_image(**{axis: number})
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.process_time()
    parts = run()
    seconds = time.process_time() - start
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return dict(axis=axis, number=number, seconds=seconds, peak_mb=peak, **parts)


def label_image(proposals: int = 1000, size: int = 500, tags: int = 2, classes: int = 20) -> Any:
    """The classification stage of the CPU-size model and its calibration on one image, CRF at the paper's settings and full size."""
    import torch
    from _scenes import ROOT, build_model
    from calibration import Stopwatch, scene

    from mmlabelpenet.apis.config import load_config
    from mmlabelpenet.calibration.crf import DenseCRF

    config = load_config(ROOT / 'configs/labelpenet/labelpenet_lite0_voc12mini.py')
    config.model.num_classes = classes
    config.model.stages = dict(classification=config.model.stages.classification)
    model = build_model(config, torch.device('cpu'), pretrained=False).eval()
    height = round(size * 0.75)
    sample, image = scene(torch.device('cpu'), height, size, proposals, range(tags), classes)
    inputs = torch.from_numpy(image).permute(2, 0, 1)[None].float().sub(127).div(128)
    generator = model.stages['classification'].labels
    generator.crf = Stopwatch(DenseCRF(max_size=None), time.process_time)

    def run() -> dict[str, float]:
        generator.label(*model.explain('classification', inputs, [sample])[0])
        return dict(crf_seconds=generator.crf.take())

    return run


def label_pass(images: int) -> Any:
    """The whole pass over so many rendered images of 128 x 96 pixels with 60 proposals each; they are rendered before."""
    import torch
    from _scenes import build_model, rendered_config, rendered_data, run_label_pass

    config = rendered_config(rendered_data(images, 96, 128, 60))
    model = build_model(config, torch.device('cpu'), pretrained=False)

    def run() -> dict[str, float]:
        run_label_pass(config.label_dataloader, model, 'classification')
        return {}

    return run


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """One panel for each axis: seconds and megabytes over the number, both from zero."""
    from matplotlib.figure import Figure

    from mmlabelpenet.workbench.report.figures import save_figure

    axes = [axis for axis in AXES if any(point['axis'] == axis for point in points)]
    figure = Figure(figsize=(2.6 * len(axes), 2.5))
    panels = figure.subplots(1, len(axes), squeeze=False)
    for panel, axis in zip(panels[0], axes, strict=True):
        mine = [point for point in points if point['axis'] == axis]
        numbers = [point['number'] for point in mine]
        panel.plot(numbers, [point['seconds'] for point in mine], 'o-', color='C0', markersize=3)
        if 'crf_seconds' in mine[0]:
            panel.plot(numbers, [point['crf_seconds'] for point in mine], 'o:', color='C0', markersize=2)
        panel.set(xlabel=LABELS[axis], xlim=(0, None), ylim=(0, None))
        panel.tick_params(axis='y', colors='C0')
        memory = panel.twinx()
        memory.plot(numbers, [point['peak_mb'] for point in mine], 's--', color='C1', markersize=3)
        memory.set_ylim(0, None)
        memory.tick_params(axis='y', colors='C1')
    panels[0][0].set_ylabel('s of CPU (dotted: CRF)', color='C0')
    figure.text(0.995, 0.5, 'MB', color='C1', rotation=90, va='center', ha='right')
    figure.tight_layout(rect=(0, 0, 0.985, 1))
    save_figure(figure, path)


if __name__ == '__main__':
    run(main)
