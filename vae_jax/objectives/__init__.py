"""Pure functions of (VAEOutput, x, hparams) that give a loss and metrics."""
