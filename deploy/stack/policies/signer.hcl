# Has certificates signed at roles that others wrote. Can change no role, sign nothing past a role,
# and let Vault make no key. Proven by tests/activities/vault/test_policies.py.

path "pki/+/+/sign/+" {
  capabilities = ["update"]
}

# What was signed for which machine; removed by mount-admin.
path "giantnetes/data/issuances/+/+" {
  capabilities = ["create", "read", "update"]
}

# Public, but a mount that is not there yet answers "denied" without this line.
path "pki/+/+/ca/pem" {
  capabilities = ["read"]
}
