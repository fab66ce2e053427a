"""The container image that workers and the bridge run from: Debian's Python, locked dependencies, the project."""
