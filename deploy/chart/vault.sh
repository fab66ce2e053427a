#!/bin/sh
# vault.sh NAMESPACE: set Vault or OpenBao up for an installation of the chart in NAMESPACE: engine, policies, logins.
# To be run by somebody who may do that, with VAULT_ADDR or BAO_ADDR and a token, after
#   bao auth enable kubernetes && bao write auth/kubernetes/config kubernetes_host=https://kubernetes.default.svc
# The program is bao, or what VAULT_CLI names; MOUNT is where Kubernetes' logins are, AUDIENCE whom tokens are for.
set -eu
namespace=$1
cli=${VAULT_CLI:-bao}
policies=$(dirname "$0")/../stack/policies

"$cli" secrets list -format=json | grep -q '"giantnetes/"' || "$cli" secrets enable -path=giantnetes -version=2 kv

# A role for each task, and whose pods may log in to it.
login() {
    "$cli" policy write "$1" "$policies/$1.hcl"
    "$cli" write "auth/${MOUNT:-kubernetes}/role/$1" token_policies="$1" token_ttl=1h token_max_ttl=24h \
        audience="${AUDIENCE:-vault}" bound_service_account_namespaces="$namespace" bound_service_account_names="$2"
}
login mount-admin giantnetes-worker-vault
login sealer giantnetes-worker-vault
login registry giantnetes-worker-vault
login signer giantnetes-worker-vault
login planner giantnetes-worker-planning
login prober giantnetes-worker-kubernetes,giantnetes-worker-probes
