"""The commands that need more than a few lines: `add` gives one its words and its `run`."""
