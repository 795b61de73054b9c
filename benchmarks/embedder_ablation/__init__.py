"""Embedders compared on clips of known pacing, and on yours."""
