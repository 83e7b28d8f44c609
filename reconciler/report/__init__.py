"""Doors to the reader: what happened, written back to the commit.

`reporter.GitHubReporter` is the `Reporter` port for GitHub, `reporter.NullReporter` the one for everywhere else. What
to say is decided in `statuses` (pure), when to say it in `outbox`, and `github` alone speaks HTTP.
"""
