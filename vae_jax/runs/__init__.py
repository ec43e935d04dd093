"""Experiments in workdirs: train, resume, finish, open again."""
