"""Parts of models that Label-PEnet does not have: baselines of the paper's tables, and alternatives that experiments compare with it.

Importing this package registers them; the registry of models knows the place.
"""

from .conv_mil_head import ConvMILBBoxHead
from .online_refinement import OICRBranches, PCLBranches

__all__ = ['ConvMILBBoxHead', 'OICRBranches', 'PCLBranches']
