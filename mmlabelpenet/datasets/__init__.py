"""Images with tags, proposals, pseudo labels; ground truth for metrics; the rendered data set."""

from .samplers import ResumableSampler
from .transforms import PackTagInputs
from .voc_tags import VOCTags

__all__ = ['PackTagInputs', 'ResumableSampler', 'VOCTags']
