"""The operating system of machines that are virtual: an immutable image made of Debian packages by one recipe."""

from deploy.node_image.build import node_image

__all__ = ["node_image"]
