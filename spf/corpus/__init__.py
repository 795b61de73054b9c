"""Corpora of many clips: measured by workers of Ray, kept as shards of rows.

`inputs` lists the clips, `rows` makes a clip's row, `shards` and `manifest` keep them, `worker` and
`pipeline` spread the work, `run` ties them together. Ray and pyarrow belong to the extra `corpus`;
both are imported where they are used, Ray by `pipeline` alone.
"""
