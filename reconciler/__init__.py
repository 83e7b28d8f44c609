"""The control plane: reads a fleet from git, compares it with what runs, and makes the two agree."""
