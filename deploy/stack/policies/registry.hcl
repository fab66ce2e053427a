# Pins cluster ids to names, claims networks, keeps count for quotas, and keeps hypervisors with what is placed on
# them. Can remove no record: what is released is marked so.
# Proven by tests/activities/vault/test_policies.py.

path "giantnetes/data/clusters/+/+" {
  capabilities = ["create", "read", "update"]
}

path "giantnetes/metadata/clusters/" {
  capabilities = ["list"]
}

path "giantnetes/metadata/clusters/+/" {
  capabilities = ["list"]
}

path "giantnetes/data/claims/network/+" {
  capabilities = ["create", "read", "update"]
}

path "giantnetes/metadata/claims/network/" {
  capabilities = ["list"]
}

path "giantnetes/data/hypervisors/+/+" {
  capabilities = ["create", "read", "update"]
}

path "giantnetes/metadata/hypervisors/+/" {
  capabilities = ["list"]
}

path "giantnetes/data/placements/+" {
  capabilities = ["create", "read", "update"]
}

path "giantnetes/data/quotas/+" {
  capabilities = ["create", "read", "update"]
}
