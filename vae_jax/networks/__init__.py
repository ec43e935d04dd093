"""Flax modules that turn images into features and codes into image features."""
