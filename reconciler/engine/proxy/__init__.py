"""Stands in for Fly Proxy and Flycast: one loopback port that carries requests for `{app}.flycast` to its machines.

It waits for machines that are coming up, starts one that sleeps, puts idle ones to sleep, keeps to limits, asks health
checks before it routes, follows replays, and streams both ways without holding anything back. Messages are parsed and
written anew, never copied through, so that a malformed one ends here.
"""
