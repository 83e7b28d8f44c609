"""Doors to what holds data keys beside age: GnuPG on this machine, and key services of clouds.

    configured.load_services(environment) -> tuple[DataKeyService, …]

Every door implements `port.DataKeyService`: one call that gives the data key back, or an error that says whose turn it
is. None is spoken to unless a file names it and no age identity opened that file.
"""
