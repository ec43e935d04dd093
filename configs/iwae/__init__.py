"""Burda et al. 2016: importance-weighted autoencoders."""
