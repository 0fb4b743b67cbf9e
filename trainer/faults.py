"""Several problems at once, so that one run names everything that has to be fixed."""

from appliance.errors import Problem


class Faults(Problem):
    """Problems that were found together; each of `problems` is a line of its own."""

    def __init__(self, problems: list[Problem]):
        super().__init__("; ".join(map(str, problems)))
        self.problems = problems


class Collector:
    """Collects the problems raised in its `with` blocks; check() raises what was found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __enter__(self) -> "Collector":
        return self

    def __exit__(self, kind, error, traceback) -> bool:
        if not isinstance(error, Problem):
            return False
        self.problems += error.problems if isinstance(error, Faults) else [error]
        return True

    def check(self) -> None:
        """Raises the problem found, or Faults when there are several, in alphabetical order."""
        if len(self.problems) == 1:
            raise self.problems[0]
        if self.problems:
            raise Faults(sorted(self.problems, key=str))
