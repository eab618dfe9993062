"""What any method has to beat: boxes and masks that need no learning of places, only a linear classifier of whole images."""
