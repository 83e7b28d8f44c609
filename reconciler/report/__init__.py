"""Doors to the reader: what happened, written back to the commit."""
