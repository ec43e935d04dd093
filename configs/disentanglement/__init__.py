"""Images with known factors of variation, for metrics of disentanglement."""
