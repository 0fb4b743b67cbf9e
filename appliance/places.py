"""Where the package puts its files on a board. Unlike config.py, this needs no library."""

from pathlib import Path

CONFIG = Path("/etc/reconet/config.toml")
STYLES = Path("/var/lib/reconet")
STATUS = Path("/run/reconet/status.json")
