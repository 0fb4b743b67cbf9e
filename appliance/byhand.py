"""The appliance on a workstation, by hand: a virtual camera, no monitor, and the styles of the checkout.

`reconet run --camera virtual --display none` and `reconet web` find each other without a configuration.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import Optional, Union

from . import config
from .errors import Problem
from .style import store


def settings(path: Union[str, Path] = config.PATH) -> config.Settings:
    """The settings in the file at `path`, with this machine's folders. Raises Problem."""
    given = config.load(path)
    folders = [folder for folder in store.directories() if folder.is_dir()]
    folder = next((one for one in folders if os.access(str(one), os.W_OK)), None)
    if folder is None:
        raise Problem("no styles folder that this user can write to: name one in RECONET_STYLES")
    return given.model_copy(
        update={
            "camera": given.camera.model_copy(update={"device": "virtual"}),
            "display": given.display.model_copy(update={"connector": "none"}),
            "style": given.style.model_copy(update={"folder": str(folder.resolve())}),
            "host": given.host.model_copy(update={"status": str(_place() / "status.json")}),
        }
    )


def found(path: Optional[str]) -> config.Settings:
    """The settings of the running appliance: from the file `path` if given, else of an appliance started by hand if one
    runs, else from the machine's configuration. Raises Problem."""
    if path is None and not Path(config.load().host.status).exists():
        try:
            here = settings()
        except Problem:
            here = None
        if here and Path(here.host.status).exists():
            return here
    return config.load(path or config.PATH)


def _place() -> Path:
    """A private folder of this user for the status and the socket. Raises Problem."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    folder = Path(base) / f"reconet-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise Problem(f"cannot make {folder}: {(error.strerror or str(error)).lower()}: set XDG_RUNTIME_DIR") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Problem(f"{folder} is not a private folder of this user: remove it")
    return folder
