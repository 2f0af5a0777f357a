"""Training: photographs, synthesis, loss, loop, checkpoint."""
