"""Hierarchies of latent layers on MNIST, on a schedule for two CPU cores."""
