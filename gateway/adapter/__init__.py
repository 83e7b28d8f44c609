"""The program inside every machine: installs a package, runs it, serves it as Streamable HTTP."""
