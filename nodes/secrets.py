"""Names of the files that are sealed to a control plane machine (``contracts.machines.SEALED``)."""

SERVICE_ACCOUNT_KEY = "service-account.key"
"""Private key that service account tokens are signed and checked with.

PEM in the form of SEC 1 (``BEGIN EC PRIVATE KEY``): kube-apiserver finds the public key in such a file, and
none in one of PKCS #8.
"""

ENCRYPTION_CONFIG = "encryption.yaml"
"""The API server's configuration for secrets at rest, with the key in it."""
