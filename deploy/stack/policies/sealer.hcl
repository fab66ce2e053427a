# Makes a cluster's own keys and reads them to seal them. Can overwrite and destroy none: a write to what
# is there needs "update". Proven by tests/activities/vault/test_policies.py.

path "giantnetes/data/secrets/+/service-account" {
  capabilities = ["create", "read"]
}

path "giantnetes/data/secrets/+/encryption" {
  capabilities = ["create", "read"]
}
