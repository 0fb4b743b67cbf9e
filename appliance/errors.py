"""What can go wrong that the user can fix."""


class Problem(Exception):
    """Something the user can fix. Its text is one line: what is wrong, where, what to do.

    Text from outside (file names, messages of libraries) may carry line breaks or terminal
    escapes, so everything unprintable becomes a space.
    """

    def __init__(self, text: object):
        super().__init__("".join(c if c.isprintable() else " " for c in str(text)).strip())


class BundleError(Problem):
    """A style bundle that is refused, and why."""
