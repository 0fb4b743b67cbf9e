"""reconet-train gallery: many recipes, one job each, on this machine's GPUs or on a Slurm cluster, through submitit.

This module is imported before the backend is chosen: it imports neither Keras nor JAX.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
from rich.console import Console
from rich.live import Live
from rich.table import Table
from submitit.helpers import DelayedSubmission

from appliance.errors import Problem
from appliance.files import replacing
from appliance.style import bundle
from trainer import results
from trainer.data.contents import contents
from trainer.recipe import Recipe

POLL = 2.0  # seconds between polls of the jobs
TRIES = 3  # attempts at one recipe
WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass(frozen=True)
class Task:
    """One recipe, its data and its output folder."""

    recipe: Recipe
    data: Path
    out: Path


class Work:
    """What a job runs: make(task), which raises Problem when a retry would not help.

    Only one job at a time makes a task; a second one waits, then finds it done. A preempted job is requeued, and
    resumes from its last checkpoint.
    """

    def __init__(self, make: Callable[[Task], None]):
        self.make = make

    def __call__(self, task: Task) -> str | None:
        """Returns None when the task is done, else the error."""
        task.out.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(task.out / ".lock"):
            try:
                self.make(task)
            except Problem as problem:
                return str(problem)
        return None

    def checkpoint(self, task: Task) -> DelayedSubmission:
        """Called by submitit before the job is preempted."""
        return DelayedSubmission(self, task)


def make(task: Task) -> None:
    """Trains, exports, checks and reports the task's recipe."""
    from trainer.quiet import choose_backend, import_tensorflow

    choose_backend()
    import_tensorflow()
    from trainer import making

    making.make(task.recipe, task.data, task.out)


@dataclass
class Entry:
    """The state of one task."""

    task: Task
    state: str = WAITING
    tries: int = 0
    why: str = ""
    began: float = 0.0
    seconds: float = 0.0
    job: Any = None
    slot: int = field(default=-1)


def run(tasks: Sequence[Task], executors: Sequence[Any], work: Work, console: Console) -> list[Entry]:
    """Runs the tasks, one at a time on each executor (submitit's), and shows a table of their states.

    Finished tasks are skipped. A job that dies is retried, up to TRIES attempts. Raises Problem when two tasks have the
    same folder.
    """
    folders = [task.out.resolve() for task in tasks]
    for task, folder in zip(tasks, folders, strict=True):
        if folders.count(folder) > 1:
            raise Problem(f"gallery: two recipes are named {task.recipe.name}; rename one")
    entries = [Entry(task, DONE if finished(task) else WAITING) for task in tasks]
    free = list(range(len(executors)))
    with Live(table(entries), console=console, refresh_per_second=1) as live:
        while any(entry.state in (WAITING, RUNNING) for entry in entries):
            for entry in entries:
                if entry.state == WAITING and free:
                    entry.slot = free.pop(0)
                    entry.job = executors[entry.slot].submit(work, entry.task)
                    entry.state, entry.tries, entry.began = RUNNING, entry.tries + 1, time.monotonic()
            time.sleep(POLL)
            for entry in entries:
                if entry.state == RUNNING:
                    entry.seconds = time.monotonic() - entry.began
                    if entry.job.done():
                        free.append(entry.slot)
                        _finish(entry)
            live.update(table(entries))
    if not console.is_terminal:
        console.print()  # Live leaves the line open there
    return entries


def finished(task: Task) -> bool:
    """Whether the task is done, judging by its folder, and by its data as far as that is still there."""
    return results.complete(task.recipe, task.out) and (task.out / "report.html").exists() and not _has_other_data(task)


def _has_other_data(task: Task) -> bool:
    try:
        before = json.loads((task.out / "student.json").read_bytes())["contents"]
        now = contents(task.recipe, task.data)
    except (OSError, ValueError, KeyError, Problem):
        return False
    return any(before[name] != now[name] for name in before.keys() & now.keys())


def show(entries: Sequence[Entry], sheet_path: Path, console: Console) -> None:
    """Prints the figures of the finished styles, and saves a contact sheet of their pictures. Raises Problem when some
    failed.
    """
    styles = [bundle.read(results.path(entry.task.recipe, entry.task.out)) for entry in entries if entry.state == DONE]
    if styles:
        console.print(results.figures(styles))
        with replacing(sheet_path) as temporary:
            results.contact_sheet(styles).save(temporary)
        console.print(f"{sheet_path}: {len(styles)} styles", highlight=False)
    failed = [f"{entry.task.recipe.name}: {entry.why}" for entry in entries if entry.state == FAILED]
    if failed:
        raise Problem(
            f"gallery: {len(failed)} of {len(entries)} styles failed: {'; '.join(failed)}; run the command again"
        )


def _finish(entry: Entry) -> None:
    try:
        refusal = entry.job.result()
    except Exception as error:  # anything may end a job: a signal, a lost node, a bug
        lines = [line for line in str(error).splitlines() if line.strip()]
        entry.why = f"{lines[-1] if lines else type(error).__name__}; see {entry.job.paths.stderr}"
        entry.state = WAITING if entry.tries < TRIES else FAILED
        return
    entry.state, entry.why = (FAILED, refusal) if refusal else (DONE, "")


def table(entries: Sequence[Entry]) -> Table:
    """The tasks and their states, for a terminal."""
    made = Table("style", "state", "steps", "loss", "tries", "minutes", "")
    for entry in entries:
        steps, loss = progress(entry.task)
        whole = entry.task.recipe.student.steps
        cells = f"{steps} of {whole}", loss, str(entry.tries), f"{entry.seconds / 60:.1f}", entry.why
        made.add_row(entry.task.recipe.name, entry.state, *cells)
    return made


def progress(task: Task) -> tuple[int, str]:
    """(steps done at the last checkpoint, the loss there, formatted)."""
    with suppress(OSError, ValueError, KeyError, IndexError):
        last = json.loads((task.out / "student.losses.jsonl").read_text().splitlines()[-1])
        return last["step"], f"{last['loss']:.3f}"
    return 0, ""
