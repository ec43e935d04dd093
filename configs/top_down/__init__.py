"""Convolutional top-down models: on one GPU, and small enough for a CPU."""
