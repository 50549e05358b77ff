"""What differs by system: one capability a module, whose functions do the same everywhere.

===============================  =====================================  ====================================
capability                       on Linux                               elsewhere
===============================  =====================================  ====================================
`exits.watch`: see a child's     a pidfd on the child's own loop        one SIGCHLD handler, on a loop of the
exit                             (`pidfd`)                              main thread
`ignored.exits_kept`: start a    SIGCHLD has its default for the        the same, by the C library's
child while SIGCHLD is ignored   moment of the fork                     ``signal()``
`processes.listing`: list the    ``/proc``                              none, until somebody who has psutil
processes of the system                                                 hands one in
`sessions.find_members`: find    ``getsid`` of every process            the same where processes are listed,
the processes of a session                                              else the first process group
`lifeline.Lifeline`: end a       ``PR_SET_PDEATHSIG``                   a thread that waits for the end of a
worker with its parent                                                  pipe
===============================  =====================================  ====================================

What the system has is asked once, when the module is imported; a system call that is there and is refused
(a seccomp filter) counts as missing at each call.
"""
