"""Bad days: what is killed, wiped, cut off, full, sealed or missing must neither lose nor double a cluster."""
