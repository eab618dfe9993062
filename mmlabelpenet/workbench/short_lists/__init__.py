"""Short lists of VOC 2012 for models at CPU size: 20 classes (mini) and five animals, built from an official VOC 2012."""
