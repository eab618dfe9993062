"""Drawing of images, boxes, masks and maps."""

from .drawing import class_colours, draw_heat, draw_instances, draw_masks, draw_proposals, enlarge, webp

__all__ = ['class_colours', 'draw_heat', 'draw_instances', 'draw_masks', 'draw_proposals', 'enlarge', 'webp']
