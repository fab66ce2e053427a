"""The program of a local machine: what firmware, init and guest agent are to others.

``python -I -m nodes.machine boot|requests|install FOLDER``. It runs many times on the way to a cluster, so
it imports only what it uses, where it uses it, and reads plain JSON instead of models.
"""
