"""Posteriors of discrete codes: encoder features -> one code of a codebook per site."""
