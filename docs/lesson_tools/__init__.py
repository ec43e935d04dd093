"""What `make lesson` runs: trains, measures, draws and fills in docs/lesson*.md."""
