"""Images: where they come from, and the batch of each step."""
