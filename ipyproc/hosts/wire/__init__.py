"""A host behind a Unix socket, in another process of this machine and user.

``frames`` and ``values`` are what goes over the socket, ``channel`` and ``address`` the socket; ``server``
runs any host for clients, ``client`` is the host that they use, and ``launch`` starts the two ends at once.
"""
