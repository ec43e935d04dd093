"""What a run keeps on disk: checkpoints, records, locks and atomic files."""
