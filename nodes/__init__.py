"""What runs on a machine, per role and version of the templates: files and services as data. No I/O.

``nodes.machine`` is the exception: the program that runs on a machine and makes the data real.
"""
