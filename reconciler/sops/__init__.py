"""The SOPS format, read natively; the MAC is always verified."""
