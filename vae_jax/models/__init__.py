"""Modules that return a VAEOutput."""
