"""Where what is kept between processes lies: findings and compiled kernels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: Set to a folder, it is where everything that is kept lies; set to nothing, nothing is kept.
VARIABLE: Final = "ADAMPROOF_CACHE"


def folder() -> Path | None:
    """Return the folder of what is kept; None: the user wants none."""
    import platformdirs

    chosen = os.environ.get(VARIABLE)
    if chosen is None:
        return Path(platformdirs.user_cache_dir("adamproof"))
    return Path(chosen) if chosen else None
