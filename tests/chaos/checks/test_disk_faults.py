"""What a power failure may take is what no sync covers."""

import pathlib
import random
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))

import disk_faults


class Unsynced(unittest.TestCase):
    def test_a_write_that_was_synced_is_safe(self) -> None:
        log = ["W 0 10 /d/a", "B 0 /d/a", "E 0 /d/a"]
        self.assertEqual(disk_faults.unsynced(log)["/d/a"], [])

    def test_a_write_during_a_sync_is_not_covered_by_it(self) -> None:
        log = ["W 0 10 /d/a", "B 0 /d/a", "W 10 10 /d/a", "E 0 /d/a"]
        self.assertEqual(disk_faults.unsynced(log)["/d/a"], [(10, 10)])

    def test_a_sync_that_did_not_end_covers_nothing(self) -> None:
        self.assertEqual(disk_faults.unsynced(["W 0 10 /d/a", "B 0 /d/a"])["/d/a"], [(0, 10)])

    def test_overlapping_syncs_of_a_file_cover_what_came_before_each(self) -> None:
        log = ["W 0 1 /d/a", "B 0 /d/a", "W 1 1 /d/a", "B 1 /d/a", "W 2 1 /d/a", "E 0 /d/a", "E 1 /d/a"]
        self.assertEqual(disk_faults.unsynced(log)["/d/a"], [(2, 1)])

    def test_only_what_was_not_synced_is_torn(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            file = pathlib.Path(name) / "file"
            file.write_bytes(b"s" * 100 + b"u" * 100)
            for _ in range(20):
                disk_faults.DiskFaults.tear(file, 100, 100, random.Random(1))
            self.assertEqual(file.read_bytes()[:100], b"s" * 100)
            self.assertEqual(len(file.read_bytes()), 200)


if __name__ == "__main__":
    unittest.main()
