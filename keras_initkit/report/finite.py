"""What JSON takes of numbers: it has no NaN and no infinity."""

import math
from typing import Any

import numpy as np


def finite(content: Any) -> Any:
    """Replaces floats that are not finite by `None`, in dicts and lists too."""
    if isinstance(content, dict):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [finite(value) for value in content]
    if isinstance(content, (float, np.floating)):
        return float(content) if math.isfinite(content) else None
    return content
