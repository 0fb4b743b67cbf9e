"""Where the jobs of a gallery run: submitit's executors, one for each concurrent job."""

import shutil
import subprocess
from pathlib import Path

import submitit
from submitit.core.core import Executor

from appliance.errors import Problem

HOURS = 12  # of one job, at most


def local(folder: Path, workers: int | None) -> list[Executor]:
    """One executor per worker: by default one per GPU of this machine, or a single one without a GPU. folder is for
    submitit's files.
    """
    gpus = _gpus()
    made: list[Executor] = []
    for i in range(workers or max(1, len(gpus))):
        executor = submitit.LocalExecutor(folder)
        one = {"gpus_per_node": 1, "visible_gpus": [gpus[i % len(gpus)]]} if gpus else {}
        executor.update_parameters(timeout_min=HOURS * 60, **one)
        made.append(executor)
    return made


def slurm(folder: Path, workers: int, partition: str | None, account: str | None) -> list[Executor]:
    """One executor per worker. A job gets one GPU, and is requeued when it is preempted. Raises Problem without
    Slurm.
    """
    if not shutil.which("srun"):
        raise Problem("--on slurm: no srun on this machine; run this on a login node of the cluster, or --on local")
    executor = submitit.SlurmExecutor(folder, max_num_timeout=10)
    chosen = {name: value for name, value in (("partition", partition), ("account", account)) if value}
    executor.update_parameters(
        time=HOURS * 60, gpus_per_node=1, ntasks_per_node=1, cpus_per_task=8, mem="32GB", job_name="reconet", **chosen
    )
    return [executor] * workers


def _gpus() -> list[int]:
    """The numbers of this machine's NVIDIA GPUs, from nvidia-smi: importing JAX here would take their memory."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return []
    done = subprocess.run([tool, "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True)
    return [int(line) for line in done.stdout.split() if line.isdigit()] if done.returncode == 0 else []
