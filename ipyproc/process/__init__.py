"""The whole of ``tornado.process``, on the IOLoop that you already have.

Porting from ``tornado.process`` is a change of one import line. Source of the interface: the
documentation of Tornado 4.2 to 4.5; later differences are named where they matter.
"""

from ipyproc.process.child import CalledProcessError, Subprocess
from ipyproc.process.fork import cpu_count, fork_processes, task_id

__all__ = ["CalledProcessError", "Subprocess", "cpu_count", "fork_processes", "task_id"]
