"""Errors that the user can fix."""


class Problem(Exception):
    """An error that the user can fix. Its text is one line: what is wrong, where, what to do.

    File names and messages of libraries may contain line breaks or terminal escapes, so unprintable characters become
    spaces.
    """

    def __init__(self, text: object):
        super().__init__("".join(c if c.isprintable() else " " for c in str(text)).strip())


class BundleError(Problem):
    """Why a style bundle is refused."""


class DeviceError(Problem):
    """Why a device cannot be used, whatever the style is."""
