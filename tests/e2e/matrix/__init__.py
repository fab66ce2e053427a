"""Mutual TLS between all components of a real cluster, proven: deploy/docs/access.py is what is expected."""
