"""The door to the package registries: says before a machine exists what cannot start on it.

The registries, their mirrors and their credentials are those of the ordinary clients: npm's configuration for npm
packages, uv's for PyPI's. A registry that does not answer proves nothing about a package and is never taken for "not
found".
"""

from reconciler.sources.packages.catalog import PackageCatalog

__all__ = ["PackageCatalog"]
