"""Short lists of VOC 2012 for CPU-sized models: 20 classes (mini) and five animals, built from an official VOC 2012."""
