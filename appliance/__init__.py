"""ReCoNet on the Edge TPU: the appliance that stylises live video.

`from appliance import Style` is for other programs: see appliance.api.
"""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name != "Style":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .api import Style  # not before it is asked for: the daemon starts without

    return Style
