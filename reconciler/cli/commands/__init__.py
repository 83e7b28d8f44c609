"""One module a subcommand; each has one public object, `command`."""
