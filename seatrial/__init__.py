"""The acceptance trial for OpenStack clouds that run on Kubernetes."""
