"""What manual optimization leaves to an application, whatever it trains: schedule, guard, exact and whole checkpoints.

Nothing here knows of poses; `meshtto` uses it too.
"""
