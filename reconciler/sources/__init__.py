"""Doors to the desired state: git, manifests, package registries."""
