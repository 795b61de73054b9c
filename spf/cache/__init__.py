"""Embeddings kept on disk: a clip that was embedded before is not decoded again.

An entry is FOLDER/embeddings/EMBEDDER-KEY.npz: a clip's vectors and times, what was read and lost,
and the small pictures that plots need. Its key is a hash of everything that determines it
(`key_fields`). Files that an embedder of spf reads are kept; frames from memory and embedders from
elsewhere, whose code no key covers, are not.

The folder is SPF_CACHE_DIR, else XDG_CACHE_HOME/spf, else ~/.cache/spf. It is bounded by
SPF_CACHE_SIZE: the entries that were not used for longest go first.
"""

from spf.cache.key import key_fields
from spf.cache.store import Cache, Entry, user_cache

__all__ = ["Cache", "Entry", "key_fields", "user_cache"]
