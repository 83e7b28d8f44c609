"""Doors to the observed state: the Machines API client and what is built on it."""
