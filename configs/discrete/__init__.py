"""Discrete codes: van den Oord et al. 2017, Mentzer et al. 2024, Yu et al. 2024."""
