# Makes and removes the CAs of clusters, writes their roles, destroys their keys and the records of what
# was signed, also those of living clusters.
# Can sign nothing, read no secret, and make no CA whose key leaves Vault or a second one in a mount.
# Proven by tests/activities/vault/test_policies.py.

path "sys/mounts" {
  capabilities = ["read"]
}

path "sys/mounts/pki/+/+" {
  capabilities       = ["update", "delete"]
  allowed_parameters = {
    "type" = ["pki"]
    "*"    = []
  }
}

path "pki/+/+/root/generate/internal" {
  capabilities        = ["update"]
  required_parameters = ["issuer_name"]
  allowed_parameters  = {
    "issuer_name" = ["root"]
    "*"           = []
  }
}

path "pki/+/+/roles/*" {
  capabilities = ["update"]
}

# A role for a person's certificate lives as long as its one request. Of two paths that fit, the one with fewer
# wildcards counts, but never one that ends in * before one that does not: so both do.
path "pki/+/kubernetes/roles/user-*" {
  capabilities = ["update", "delete"]
}

# Public, but a mount that is not there yet answers "denied" without this line.
path "pki/+/+/ca/pem" {
  capabilities = ["read"]
}

path "giantnetes/metadata/secrets/" {
  capabilities = ["list"]
}

path "giantnetes/metadata/secrets/+/" {
  capabilities = ["list"]
}

path "giantnetes/metadata/secrets/+/+" {
  capabilities = ["delete"]
}

path "giantnetes/metadata/issuances/" {
  capabilities = ["list"]
}

path "giantnetes/metadata/issuances/+/" {
  capabilities = ["list"]
}

path "giantnetes/metadata/issuances/+/+" {
  capabilities = ["delete"]
}
