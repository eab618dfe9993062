"""Pictures of what the network believes, and the report of a run."""

from .drawing import class_colours, data_uri, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge

__all__ = ['class_colours', 'data_uri', 'draw_heat', 'draw_instances', 'draw_masks', 'draw_proposals', 'enlarge']
