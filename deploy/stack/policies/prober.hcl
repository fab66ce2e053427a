# Has our own client certificates for guest clusters signed: an administrator's, which opens everything there, and no
# machine's or person's. Proven by tests/activities/vault/test_policies.py.

path "pki/+/kubernetes/sign/admin" {
  capabilities = ["update"]
}

path "pki/+/kubernetes/sign/super-admin" {
  capabilities = ["update"]
}

path "pki/+/etcd/sign/etcd-healthcheck-client" {
  capabilities = ["update"]
}

# Public, but a mount that is not there yet answers "denied" without this line.
path "pki/+/+/ca/pem" {
  capabilities = ["read"]
}
