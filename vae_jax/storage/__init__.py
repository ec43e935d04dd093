"""What a run keeps on disk: checkpoints, records and locks."""
