"""What ends a kept job anyway: the container, the batch job or the hub in which this process runs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping

__all__ = ["scope_command", "what_ends_it"]

_CONTAINERS = re.compile(r"docker|kubepods|containerd|libpod|lxc|garden")
_OF_VARIABLES = (
    ("BINDER_SERVICE_HOST", "the end of this Binder session"),
    ("COLAB_RELEASE_TAG", "the end of this Colab runtime"),
    ("JUPYTERHUB_SERVICE_PREFIX", "the hub, when it stops this server"),
    ("SLURM_JOB_ID", "the end of this SLURM job"),
    ("PBS_JOBID", "the end of this PBS job"),
    ("LSB_JOBID", "the end of this LSF job"),
    ("KUBERNETES_SERVICE_HOST", "the end of this container"),
)


def what_ends_it(environment: Mapping[str, str], root: str = "/") -> str:
    """Return a remark on what ends a kept job of this process all the same; empty where nothing is known.

    Args:
        environment: of this process.
        root: where the files of the system are.
    """
    found = next((what for name, what in _OF_VARIABLES if environment.get(name)), "")
    if not found and _is_container(root):
        found = "the end of this container"
    return f"{found} ends it too" if found else ""


def scope_command(environment: Mapping[str, str]) -> list[str]:
    """Return the words before a command by which it gets a cgroup of its own; none without systemd.

    Else the end of a login session, or of the service in which the notebook's server runs, may end it too.
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    program = shutil.which("systemd-run")
    if program is None or not os.path.exists(os.path.join(runtime, "systemd", "private")):
        return []
    return [program, "--user", "--scope", "--quiet", "--collect", "--"]


def _is_container(root: str) -> bool:
    if any(os.path.exists(os.path.join(root, name)) for name in (".dockerenv", "run/.containerenv")):
        return True
    try:
        with open(os.path.join(root, "proc/self/cgroup"), encoding="utf-8", errors="replace") as file:
            return _CONTAINERS.search(file.read()) is not None
    except OSError:
        return False
