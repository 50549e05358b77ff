"""Leaves a process in a group of its own, with a zombie in the job's group, behind it."""

import os
import time

leader = os.getpid()
if os.fork() == 0:
    os.setpgid(0, 0)
    if os.fork() == 0:
        # A zombie in the job's group, whose parent no signal to the group reaches.
        os.setpgid(0, leader)
        os._exit(0)
    print(os.getpid(), flush=True)
    os.close(1), os.close(2)
    time.sleep(60)
time.sleep(60)
