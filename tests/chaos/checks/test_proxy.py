"""The fault proxy passes bytes, and makes the faults that it is told to make."""

import contextlib
import pathlib
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

from links import Links


def echo(server: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while data := connection.recv(65536):
                connection.sendall(data)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=serve, args=[server.accept()[0]], daemon=True).start()


class ProxyFaults(unittest.TestCase):
    def setUp(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=echo, args=[self.server], daemon=True).start()
        self.directory = tempfile.TemporaryDirectory()
        self.links = Links(pathlib.Path(self.directory.name), "seed")
        self.port = self.links.add("ingress0-broker0", "127.0.0.1", self.server.getsockname()[1])
        self.links.start()

    def tearDown(self) -> None:
        self.links.process.kill()
        self.server.close()
        self.directory.cleanup()

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        self.addCleanup(connection.close)
        return connection

    def test_bytes_pass_unchanged(self) -> None:
        sent = bytes(range(256)) * 1000
        connection = self.connect()
        threading.Thread(target=connection.sendall, args=[sent], daemon=True).start()
        received = b""
        while len(received) < len(sent):
            received += connection.recv(65536)
        self.assertEqual(received, sent)

    def test_latency_delays_both_ways(self) -> None:
        self.links.set("*", {"latency": 0.2})
        connection = self.connect()
        began = time.monotonic()
        connection.sendall(b"x")
        self.assertEqual(connection.recv(10), b"x")
        self.assertGreater(time.monotonic() - began, 0.2)

    def test_what_is_held_passes_when_it_is_healed(self) -> None:
        connection = self.connect()
        self.assertEqual(self.links.set("ingress*", {"hold": "down"}), 1)
        connection.sendall(b"late")
        connection.settimeout(0.5)
        with self.assertRaises(TimeoutError):
            connection.recv(10)
        self.links.heal()
        connection.settimeout(5)
        self.assertEqual(connection.recv(10), b"late")

    def test_a_connection_is_cut_behind_so_many_bytes(self) -> None:
        self.links.set("*", {"cut_after": [1000, 1000]})
        connection = self.connect()
        connection.sendall(b"x" * 900)
        received = b""
        with self.assertRaises(ConnectionResetError):
            while True:
                data = connection.recv(65536)
                if not data:
                    raise AssertionError("closed in order")
                received += data
        # 900 bytes up, and the first 100 of the answer.
        self.assertEqual(received, b"x" * 100)

    def test_all_connections_are_cut_at_once(self) -> None:
        connection = self.connect()
        connection.sendall(b"x")
        connection.recv(10)
        self.assertEqual(self.links.cut("*-broker0"), 1)
        with self.assertRaises(ConnectionResetError):
            connection.recv(10)

    def test_other_links_are_left_alone(self) -> None:
        self.assertEqual(self.links.set("dispatcher*", {"refuse": True}), 0)
        connection = self.connect()
        connection.sendall(b"x")
        self.assertEqual(connection.recv(10), b"x")


if __name__ == "__main__":
    unittest.main()
