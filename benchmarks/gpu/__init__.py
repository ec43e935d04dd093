"""One command that measures everything that wants a GPU, and goes on where it ended."""
