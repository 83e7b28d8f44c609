"""Version 1 of the contract: the manifest `catwalk.yaml` of apiVersion `catwalk.dev/v1`."""
