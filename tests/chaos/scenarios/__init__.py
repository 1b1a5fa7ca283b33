"""All scenarios, by what they do faults to. Importing this package enters them into the list."""

from scenarios import (
    broker,
    calm,
    database,
    embedded,
    everything,
    objects,
    partitions,
    processes_of_the_gateway,
    resources,
    sabotage,
)

__all__ = [
    "broker",
    "calm",
    "database",
    "embedded",
    "everything",
    "objects",
    "partitions",
    "processes_of_the_gateway",
    "resources",
    "sabotage",
]
