"""The worker of one hypervisor: it speaks to libvirt and to Temporal, and to nobody else."""
