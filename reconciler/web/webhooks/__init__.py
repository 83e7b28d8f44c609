"""Webhooks of GitHub: hints that something is worth a look.

A webhook is never data. What it says decides only whether the loop looks now or at its next poll, so that a forged, a
replayed or a lost one changes nothing but the moment.
"""

from reconciler.web.webhooks.events import Followed
from reconciler.web.webhooks.receiver import Hooks, webhook_router

__all__ = ["Followed", "Hooks", "webhook_router"]
