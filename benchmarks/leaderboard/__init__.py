"""Generators compared with each other: which, on which clips, and what their differences show."""
