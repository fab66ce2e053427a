# Everything that people do with Giantnetes on one machine. uv makes .venv from the lock file when it is missing.

set shell := ["bash", "-euo", "pipefail", "-c"]
set positional-arguments

# The virtual environment that a shell is in isn't the project's: uv would warn about it at every turn.
unexport VIRTUAL_ENV

python := "uv run --frozen python"

packages := "gcc libc6-dev libseccomp-dev pkg-config libvirt-dev mmdebstrap erofs-utils zstd " + \
    "qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients dnsmasq-base iptables nftables iproute2 util-linux tini"

[private]
default:
    @just --list --unsorted

# Bring everything up, create a cluster of 1 control plane machine and 3 nodes, and show it with kubectl
[group('use')]
[no-exit-message]
demo:
    @{{ python }} -m workers.cli.demo

# Start the local stack (Temporal, OpenBao, host API, worker, bridge); guest clusters come back too
[group('use')]
[no-exit-message]
up:
    @{{ python }} -m deploy.stack up

# Show whether each service of the local stack works, and where it listens
[group('use')]
[no-exit-message]
status:
    @{{ python }} -m deploy.stack status

# Stop everything, guest clusters included; `just up` brings it all back
[group('use')]
[no-exit-message]
down:
    @{{ python }} -m deploy.stack down

# Stop everything and delete all guest clusters, keys and histories; asks first unless given --yes
[group('use')]
[no-exit-message]
reset *options:
    @{{ python }} -m deploy.stack reset "$@"

# Look at clusters and log in to them, as `just g8s status demo --watch`; `just g8s --help` tells all
[group('use')]
[no-exit-message]
g8s *arguments:
    @uv run --frozen g8s "$@"

# Write an administrator's kubeconfig for a cluster of the namespace default, valid for an hour; this is recorded
[group('use')]
[no-exit-message]
kubeconfig name="demo":
    @uv run --frozen g8s kubeconfig "$1" --group giantnetes:cluster-admins --break-glass

# Fetch or build etcd, Kubernetes and the nodes of releases (all if none is named) into the cache
[group('use')]
[no-exit-message]
binaries *releases:
    @{{ python }} -m workers.cli.binaries "$@"

# Make what virtual machines boot: the node image and the disks of releases (all if none is named); needs root
[group('use')]
[no-exit-message]
node-image *releases:
    @{{ python }} -m deploy.node_image "$@"

# Install the Debian packages that virtual machines, their image and the package libvirt-python need
[group('use')]
libvirt-packages:
    apt-get install --yes --no-install-recommends {{ packages }}

# Run the worker of this hypervisor: it makes virtual machines with libvirt; settings are in docs/virtual-machines.md
[group('use')]
[no-exit-message]
hypervisor:
    @uv run --frozen --extra libvirt python -m workers.hypervisor

# Have this hypervisor's worker and firewall start with the machine, by systemd; needs root
[group('use')]
hypervisor-service:
    uv sync --frozen --extra libvirt
    for unit in firewall hypervisor; do \
        sed 's|@PROJECT@|{{ justfile_directory() }}|' "deploy/hypervisor/giantnetes-$unit.service" \
            > "/etc/systemd/system/giantnetes-$unit.service"; \
    done
    systemctl daemon-reload
    systemctl enable giantnetes-firewall.service
    systemctl enable --now giantnetes-hypervisor.service

# Run all tests in two processes, or those that pytest is told, as `just test tests/api -k network`
[group('develop')]
test *arguments: binaries
    @{{ python }} -m deploy.helm version --short >/dev/null
    @uv run --frozen pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder "$@"

# Make the container image of workers and bridge into dist/, as root; `just image --push HOST/giantnetes:0.1.0` copies it
[group('deploy')]
[no-exit-message]
image *options:
    @{{ python }} -m deploy.image "$@"

# Pack the chart into dist/
[group('deploy')]
chart:
    @{{ python }} -m deploy.helm package deploy/chart --destination dist

# Run helm, as `just helm template giantnetes deploy/chart --values my.yaml`; it is built from pinned modules
[group('deploy')]
[no-exit-message]
helm *arguments:
    @{{ python }} -m deploy.helm "$@"

# Run the tests on real virtual machines, in a network of their own, or those that pytest is told; needs root
[group('develop')]
[no-exit-message]
test-libvirt *arguments: (binaries "1.37.2-1") (node-image "1.37.2-1")
    uv sync --frozen --extra libvirt
    if [ $# = 0 ]; then \
        {{ just_executable() }} node-image 1.36.3-1; \
        {{ just_executable() }} test-libvirt tests/contract/test_provider.py; \
        set -- tests/libvirt; \
        for alone in bad_days full_disk killed_worker networks releases three_control_planes two_hypervisors; do \
            {{ just_executable() }} test-libvirt "tests/libvirt/test_$alone.py"; \
            set -- "$@" --ignore "tests/libvirt/test_$alone.py"; \
        done; \
    fi; \
    tests/libvirt/room.sh .venv/bin/python -m pytest --timeout 900 "$@"

# Take networks and a virtual machine through their contracts, and one to Ready: what submissions are tested with
[group('develop')]
[no-exit-message]
smoke-libvirt: (test-libvirt "tests/contract/test_provider.py" "tests/libvirt/test_networks.py" "-k" \
    "without_being_waited_for or loses_all_but_state or test_networks")
    G8S_NODES=0 {{ just_executable() }} test-libvirt tests/libvirt/test_cluster.py -k nodes_are_ready

# Run the static checks: lint, format, types, imports, lock file and generated files
[group('develop')]
check:
    uv lock --check
    uv run --frozen ruff check
    uv run --frozen ruff format --check
    uv run --frozen mypy
    uv run --frozen lint-imports
    uv run --frozen pytest --quiet tests/replay tests/deploy/docs tests/deploy/crds/test_files.py tests/nodes/test_golden.py tests/activities/kubernetes/test_manifests.py

# Format the code, and mend what the linter can mend
[group('develop')]
format:
    uv run --frozen ruff format
    uv run --frozen ruff check --fix

# Write the frozen output of node templates and manifests anew, for a release that is not published yet
[group('develop')]
golden:
    {{ python }} -m tests.nodes.frozen
    {{ python }} -m tests.activities.kubernetes.golden

# Write the generated pages of docs/ anew
[group('develop')]
docs:
    {{ python }} -m deploy.docs

# Write the CustomResourceDefinitions in deploy/crds anew
[group('develop')]
crds:
    {{ python }} -m deploy.crds

# Replay the recorded histories against today's workflows
[group('develop')]
replay:
    uv run --frozen pytest tests/replay

# Record histories of today's workflows, and the fingerprints of their commands
[group('develop')]
record:
    {{ python }} -m tests.replay.record
    {{ python }} -m tests.replay.fingerprints

# Time boots of virtual machines beside the same by hand, and a create; the last line is one JSON object; needs root
[group('develop')]
[no-exit-message]
bench-libvirt *options: (binaries "1.37.2-1") (node-image "1.37.2-1")
    uv sync --frozen --extra libvirt
    tests/libvirt/room.sh .venv/bin/python -m tests.bench.virtual "$@"

# Time creates beside a script that does the same by hand; the last line is one JSON object
[group('develop')]
bench-create *options:
    {{ python }} -m tests.bench.create "$@"

# Time many clusters as resources: how soon they are taken up and told of, and what they cost; the last line is JSON
[group('develop')]
bench-bridge *options: (binaries "1.37.2-1")
    {{ python }} -m tests.bench.bridge "$@"

# Renew certificates again and again while clients use the cluster; the last line is one JSON object
[group('develop')]
[no-exit-message]
bench-rotation *options: (binaries "1.37.2-1")
    {{ python }} -m tests.bench.rotation "$@"
