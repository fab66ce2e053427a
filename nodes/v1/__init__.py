"""Node templates, version 1. Frozen once a release that names them is published: a change is a version 2."""
