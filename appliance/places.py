"""Where the package puts things on a board. Needs no library, unlike config.py."""

from pathlib import Path

CONFIG = Path("/etc/reconet/config.toml")
STYLES = Path("/var/lib/reconet")
STATUS = Path("/run/reconet/status.json")
