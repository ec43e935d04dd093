"""The train step, ensembles of it, and the loop around it."""
