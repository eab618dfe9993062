"""Effect of memory layout, precision and ``torch.compile``: the paper's backbone, forward, and a tail, forward and backward."""

import statistics
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from mmlabelpenet.apis.config import build_model
from mmlabelpenet.workbench.gpu_check.paper import paper_config
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings

ROUNDS = 10
HEAD = ['part', 'variant', 'ms', 'times as fast']


def layouts(settings: Settings, notes: Notebook) -> None:
    """Time every variant; a failure is recorded as a problem."""
    size = (64, 96) if settings.small else (900, 1200)
    model = build_model(paper_config(size, 10, thin=True)).to(settings.device).eval()
    backbone, tail = model.backbone, model.stages['detection'].detector.backbone
    image = torch.rand(1, 3, *size, device=settings.device)
    with torch.no_grad():
        feature = backbone(image)[-1]
    first, best = dict[str, float](), dict[str, tuple[float, str]]()
    for name, module, value, trains in (('backbone', backbone, image, False), ('tail', tail, feature, True)):
        for variant, run in variants(module, value, trains, settings.small):
            try:
                seconds = median_seconds(run, 2 if settings.small else ROUNDS)
            except (RuntimeError, ImportError, OSError) as error:
                notes.problem(f'{name}, {variant}: {type(error).__name__}: {error}'[:500])
                continue
            ratio = round(first.setdefault(name, seconds) / seconds, 2)
            best[name] = max(best.get(name, (0.0, '')), (ratio, variant))
            faster = ', '.join(f'{part} {times} times as fast with {way}' for part, (times, way) in best.items() if times > 1)
            notes.result(faster or 'nothing is faster than float32')
            notes.row('Backbone and tail of VGG-16', HEAD, [name, variant, round(1000 * seconds, 2), ratio])


def variants(module: nn.Module, value: Tensor, trains: bool, small: bool) -> Iterator[tuple[str, Callable[[], None]]]:
    """Ways to run a module on a map, float (1, D, H, W), by name; the first is plain float32."""

    def runner(called: Callable, given: Tensor, half: bool) -> Callable[[], None]:
        def run() -> None:
            with torch.autocast(given.device.type, torch.bfloat16, enabled=half), torch.set_grad_enabled(trains):
                found = called(given)[-1]
            if trains:
                found.float().sum().backward()

        return run

    yield 'float32', runner(module, value, False)
    yield 'bf16', runner(module, value, True)
    module.to(memory_format=torch.channels_last)
    last = value.contiguous(memory_format=torch.channels_last)
    yield 'float32, channels-last', runner(module, last, False)
    yield 'bf16, channels-last', runner(module, last, True)
    if not small:  # compiling takes longer than it could save
        yield 'bf16, channels-last, torch.compile', runner(torch.compile(module), last, True)


def median_seconds(run: Callable[[], None], rounds: int) -> float:
    """Median of some calls after two warm-up calls."""
    spent = []
    for _ in range(rounds + 2):
        begin = time.perf_counter()
        run()
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        spent.append(time.perf_counter() - begin)
    return statistics.median(spent[2:])
