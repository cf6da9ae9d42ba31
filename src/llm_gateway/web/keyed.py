"""Keys in addresses: `/k/KEY/api/chat` is `/api/chat` with that key, for clients that can send no header.

The key leaves the scope here, so nothing behind this can log it. A key in a header wins over the one in the address.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Scope


PREFIX: Final = "/k/"


def unkeyed(scope: Scope, root: str) -> Scope:
    """The scope of the address without its key, which is among the headers then. `root`: a proxy's prefix, or ""."""
    key, _, rest = scope["path"][len(root) + len(PREFIX) :].partition("/")
    path = f"{root}/{rest}"
    # the weakest of the headers that a key may stand in
    headers = [*scope["headers"], (b"api-key", key.encode("latin-1", "replace"))]
    return {**scope, "path": path, "raw_path": path.encode(), "headers": headers}
