"""A data set from a folder of images and their tags, and the config that trains on it."""
