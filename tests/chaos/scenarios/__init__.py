"""All scenarios, by what they do faults to. Importing this package enters them into the list."""

from scenarios import (
    broker,
    calm,
    crash_points,
    database,
    embedded,
    everything,
    objects,
    partitions,
    processes_of_the_gateway,
    resources,
    sabotage,
    sabotages,
)

__all__ = [
    "broker",
    "calm",
    "crash_points",
    "database",
    "embedded",
    "everything",
    "objects",
    "partitions",
    "processes_of_the_gateway",
    "resources",
    "sabotage",
    "sabotages",
]
