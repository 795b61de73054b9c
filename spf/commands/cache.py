"""`spf cache`: the cached embeddings."""

from typing import Annotated

from spf.commands import options
from spf.names import plain


def cache(
    clear: Annotated[bool, options.flag("--clear", "Remove the entries.")] = False,
    embedder: options.EmbedderName = None,
) -> int:
    """Show or clear the cached embeddings.

    SPF_CACHE_DIR moves the folder, SPF_CACHE_SIZE (such as 500MB) bounds it. --embedder takes the
    entries of one embedder alone, of all its variants.

    \b
    Examples:
      spf cache
      spf cache --clear --embedder siglip
    """
    from spf.cache import user_cache
    from spf.embedders import full_name

    store = user_cache()
    name = full_name(embedder).partition("/")[0] if embedder else ""
    if clear:
        count, size = store.clear(name)
        print(f"removed {count} entries, {_bytes(size)}, from {plain(store.folder)}")
        return 0
    entries = store.entries(name)
    print(f"folder   {plain(store.folder)}\nentries  {len(entries)}")
    print(f"size     {_bytes(sum(size for _, size in entries))}\nbound    {_bytes(store.bound)}")
    return 0


def _bytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
