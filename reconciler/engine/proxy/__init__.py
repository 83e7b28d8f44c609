"""Stands in for Fly Proxy and Flycast: one loopback port that carries requests for `{app}.flycast` to its machines.

It waits for machines that are coming up, starts one that sleeps, asks health checks before it routes, and streams both
ways without holding anything back. Messages are parsed and written anew, never copied through, so that a malformed one
ends here.
"""
