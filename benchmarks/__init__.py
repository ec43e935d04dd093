"""Speed, compared in one run."""
