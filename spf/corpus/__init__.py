"""Corpora of many clips: measured by actors of Ray Data, stored as shards of rows.

`inputs` lists the clips, `rows` makes a clip's row, `run` spreads the work and writes the shards.
Ray and pyarrow belong to the extra `corpus`; both are imported where they are used.
"""
