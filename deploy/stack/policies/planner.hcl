# Looks up what a name is registered for. Proven by tests/activities/vault/test_policies.py.

path "giantnetes/data/clusters/+/+" {
  capabilities = ["read"]
}
