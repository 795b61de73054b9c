"""Corpora of many clips: measured by actors of Ray Data, stored as shards of rows."""
