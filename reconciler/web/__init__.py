"""The pages and the JSON that people and programs read about a fleet.

`handlers.web_handlers` gives Litestar routers that the wiring mounts beside the gateway; `view.FleetView` is all that
they need to know of the rest. The room only reads: nothing here changes a fleet. Secrets cannot appear because no value
that reaches this room can hold one; names of secrets may.
"""
