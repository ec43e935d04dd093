"""Tomczak and Welling 2018: a mixture of posteriors as the prior."""
