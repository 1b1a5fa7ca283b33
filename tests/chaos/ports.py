"""Free ports on loopback, below those that the system gives to outgoing connections."""

import random
import socket

# Its own chance: two runs with one seed at the same time must not choose the same ports.
CHANCE = random.SystemRandom()
TAKEN: set[int] = set()


def free_port(host: str = "127.0.0.1") -> int:
    while True:
        port = CHANCE.randrange(12000, 32000)
        if port in TAKEN:
            continue
        with socket.socket() as one:
            try:
                one.bind((host, port))
            except OSError:
                continue
        TAKEN.add(port)
        return port
