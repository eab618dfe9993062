"""File formats, independent of the method: images and their names, tags, RLE masks, arrays."""
