"""Check the installation: PyTorch, CUDA, the GPU, mmcv's kernels and the dense CRF."""

import os
import platform
from importlib.util import find_spec

from mmlabelpenet.files import shipped
from mmlabelpenet.workbench.gpu_check.records import Notebook, Settings


def environment(settings: Settings, notes: Notebook) -> None:
    """Record versions and optional packages; multiply two matrices on the device."""
    import torch

    notes.fact('platform', f'{platform.platform()}, {len(os.sched_getaffinity(0))} cores')
    if settings.device == 'cuda':
        gpu(notes)
    half = torch.rand(256, 256, device=settings.device).to(torch.bfloat16)
    notes.fact('bf16 matrix product', 'works' if torch.isfinite(half @ half).all() else 'gives non-finite values')

    from mmlabelpenet import ops
    from mmlabelpenet.apis.receipt import git_commit, package_versions
    from mmlabelpenet.ops.selective_search import is_available

    kind = torch.cuda.get_device_name(0) if settings.device == 'cuda' else 'CPU'
    notes.result(f'{kind}, PyTorch {torch.__version__}')
    notes.fact('commit', git_commit() or bundled_commit())
    for name, version in package_versions().items():
        notes.fact(name, version)
    ops.install()
    notes.fact('mmcv.ops', ops.kernels())
    notes.fact('dense CRF', 'pydensecrf' if find_spec('pydensecrf') else 'PyTorch operations (pydensecrf is not installed)')
    notes.fact('selective search', 'cv2.ximgproc' if is_available() else 'missing: proposals must be computed elsewhere')


def bundled_commit() -> str:
    """The commit of a bundle, from the file ``COMMIT`` next to its code."""
    path = shipped('tools').parent.parent / 'COMMIT'
    return path.read_text(encoding='utf-8').strip() if path.is_file() else 'unknown'


def gpu(notes: Notebook) -> None:
    """Record the properties of the first GPU."""
    import torch

    found = torch.cuda.get_device_properties(0)
    notes.fact('GPU', f'{torch.cuda.device_count()} x {found.name}, {found.total_memory / 1e9:.0f} GB')
    notes.fact('compute capability', f'{found.major}.{found.minor}')
    notes.fact('CUDA of PyTorch', torch.version.cuda)
    notes.fact('cuDNN', torch.backends.cudnn.version())
    notes.fact('NCCL', '.'.join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else 'missing')
