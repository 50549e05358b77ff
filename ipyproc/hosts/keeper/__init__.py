"""Jobs that outlive the kernel: each has processes of its own, which no kernel's end reaches.

``holder_program`` holds a job's pipes and is small; a runner (``runner``) works on them when there is
something to do: it is the local host for one job, and a server for whoever attaches. What is known of a job,
and its output, stand in a directory (``places``, ``record``), which can be read without either. ``host`` and
``job`` are the kernel's end.
"""
