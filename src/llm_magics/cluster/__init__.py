"""A Ray cluster, seen from this machine: which Python speaks to it, what is sent there, what runs on a node.

Ray is imported only in processes of their own (`entry`), because it may live in another environment than the kernel and
because a driver that dies must not take a notebook with it. What runs on the nodes is the standard library alone.
"""
