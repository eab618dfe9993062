"""Drawing of images, boxes, masks and maps."""

from .drawing import class_colours, data_uri, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge

__all__ = ['class_colours', 'data_uri', 'draw_heat', 'draw_instances', 'draw_masks', 'draw_proposals', 'enlarge']
