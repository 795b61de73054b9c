"""Existing clips, retimed by every strategy (the paper's experiment 2)."""
