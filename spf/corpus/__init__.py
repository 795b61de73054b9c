"""Corpora of many clips: measured by actors of Ray Data, stored as shards of rows.

`inputs` lists the clips, `rows` makes a clip's row, `pool` spreads the work, `run` ties them
together. Ray and pyarrow belong to the extra `corpus`; both are imported where they are used.
"""
