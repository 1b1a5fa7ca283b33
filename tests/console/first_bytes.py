"""Measures the first byte of each page of the console over a large journal.

    python3 tests/console/first_bytes.py target/release/ringback [--callbacks 1000000] [--limit-ms 20]
                                 [--directory DIR] [--postgres URL]

Fills the SQLite journal of a gateway by SQL, starts the gateway, and asks for each page. With
`--postgres` it does so with `ringback admin` and the journal of this URL (an empty database, or one that an earlier
run has filled), without a broker: `psql` must be installed. With `--limit-ms` it fails if the median of a page is
above that. Figures of a busy machine mean little.
"""

import argparse
import contextlib
import csv
import datetime
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

DAYS = 7
APPS, TARGETS, REPEATS = 20, 20, 25
# A page is asked for again until this time has passed, in seconds.
MAX_TIME = 10
SETTINGS = """[broker]
data_dir = "{directory}/data"
[ingress]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[auth]
mode = "open"
[log]
format = "json"
"""
# Port 1 has no broker: the console answers without one.
ADMIN_SETTINGS = """[broker]
url = "amqp://127.0.0.1:1"
[journal]
url = "{url}"
[dispatcher]
listen = "127.0.0.1:0"
[metrics]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
[log]
format = "json"
"""
# As the column `status` has them.
STATUSES = {"queued": 0, "retrying": 1, "delivered": 2, "dead": 3}
COLUMNS = (
    "request_id, app_id, message_type, callback_url, target, accepted_at, generation, progress, updated_at, tiebreak,"
    " status, reason, next_attempt_at, dead_letter_since, dead_letter"
)


@contextlib.contextmanager
def gateway(binary, directory, url=None):
    """A running gateway; gives the URL of its console."""
    settings = directory / "ringback.toml"
    written = ADMIN_SETTINGS.format(url=url) if url else SETTINGS.format(directory=directory)
    settings.write_text(written, encoding="utf-8")
    command = [binary, "admin" if url else "serve", "--config", settings]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.environ["PATH"]}) as process:
        try:
            for line in process.stdout:
                event = json.loads(line)
                if " is running" in event["message"] and "admin" in event:
                    yield f"http://{event['admin']}"
                    break
            else:
                raise RuntimeError("the gateway does not start")
        finally:
            process.terminate()
            process.stdout.read()


def request_id(at, number):
    """A UUID v7."""
    rest = random.getrandbits(62) | 1 << 63
    return at.to_bytes(6, "big") + (0x7000 | number & 0xFFF).to_bytes(2, "big") + rest.to_bytes(8, "big")


def callbacks(count, now):
    """Rows of callbacks over some days: 96 % delivered, 3 % dead, 1 % waiting."""
    for number in range(count):
        at = now - (count - number) * DAYS * 86_400_000 // count
        kind = number % 100
        status = "delivered" if kind < 96 else "dead" if kind < 99 else "retrying"
        is_dead, waits = status == "dead", status == "retrying"
        target = f"https://target{number % TARGETS}.example:443"
        yield (
            request_id(at, number), f"app{number % APPS}", "order", target + "/callback", target, at, 1, at + 50,
            number, status, "exhausted" if is_dead else None, now + 600_000 if waits else None,
            at + 50 if is_dead else None, b"{}" if is_dead else None,
        )


def rollups(now):
    minutes = range(now // 60_000 - 2 * 1440, now // 60_000)
    kinds = [(0, "")] + [(2, f"https://target{n}.example:443") for n in range(TARGETS)]
    kinds += [(3, f"app{n}") for n in range(APPS)]
    for kind, name in kinds:
        for minute in minutes:
            yield (kind, name, minute, 0, 99, 95, 3, 1, 1, 5_000, *[10] * 13)


def fill(path, count):
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.executemany(
            f"INSERT INTO callbacks ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?, ?, ?)",
            callbacks(count, now),
        )
        database.execute(
            "INSERT INTO attempts (request_id, generation, number, run, started_at, duration_ms, outcome, http_status)"
            " SELECT request_id, 0, 1, 1, accepted_at, 50, CASE status WHEN 'delivered' THEN 'delivered'"
            " ELSE 'answered_5xx' END, CASE status WHEN 'delivered' THEN 200 ELSE 503 END FROM callbacks"
        )
        database.executemany(f"INSERT INTO rollups VALUES ({', '.join('?' * 23)})", rollups(now))
        database.execute(
            "INSERT INTO app_counts SELECT app_id, 0, count(*), count(*) FROM callbacks"
            " WHERE status = 'retrying' GROUP BY app_id"
        )


def psql(url, *statements):
    """What they return, without headings."""
    command = ["psql", "--no-psqlrc", "-qAt", "-v", "ON_ERROR_STOP=1", *(it for sql in statements for it in ("-c", sql)), url]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


@contextlib.contextmanager
def copied(url, table, options="FORMAT csv"):
    """Takes rows for this table as CSV, where an empty field is NULL."""
    command = ["psql", "--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", "-c", f"\\copy {table} FROM STDIN ({options})", url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True) as process:
        yield csv.writer(process.stdin)
        process.stdin.close()
        if process.wait():
            raise RuntimeError(f"{table} cannot be filled")


def fill_postgres(url, count):
    now = int(time.time() * 1000)
    day_ms = 86_400_000
    for day in range(now // day_ms - DAYS, now // day_ms + 2):
        name = datetime.datetime.fromtimestamp(day * 86_400, datetime.timezone.utc).strftime("%Y%m%d")
        first, end = (f"{at * day_ms:012x}".ljust(32, "0") for at in (day, day + 1))
        for table in ("callbacks", "attempts"):
            psql(url, f"CREATE TABLE IF NOT EXISTS {table}_{name} PARTITION OF {table} FOR VALUES FROM ('{first}') TO ('{end}')")
    with copied(url, f"callbacks ({COLUMNS})") as rows:
        for id_, app, type_, called, target, at, progress, updated, tiebreak, status, *rest in callbacks(count, now):
            rest[-1] = rest[-1] and "\\x" + rest[-1].hex()
            rows.writerow((id_.hex(), app, type_, called, target, at, 0, progress, updated, tiebreak, STATUSES[status], *rest))
    psql(
        url,
        "INSERT INTO attempts (request_id, generation, number, run, started_at, duration_ms, outcome, http_status)"
        " SELECT request_id, 0, 1, 1, accepted_at, 50, CASE status WHEN 2 THEN 'delivered' ELSE 'answered_5xx' END,"
        " CASE status WHEN 2 THEN 200 ELSE 503 END FROM callbacks",
    )
    with copied(url, "rollups", "FORMAT csv, FORCE_NOT_NULL (name)") as rows:
        rows.writerows(rollups(now))
    psql(url, "VACUUM ANALYZE", "CHECKPOINT")


def newest_dead_postgres(url):
    sql = "SELECT replace(request_id::text, '-', '') FROM callbacks WHERE status = 3 ORDER BY request_id DESC LIMIT 1"
    return psql(url, sql)


def newest_dead(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        dead = database.execute(
            "SELECT request_id FROM callbacks WHERE status = 'dead' AND discarded = 0 ORDER BY request_id DESC LIMIT 1"
        )
        return dead.fetchone()[0].hex()


def pages(dead):
    one = f"{dead[:8]}-{dead[8:12]}-{dead[12:16]}-{dead[16:20]}-{dead[20:]}"
    lists = "/console/callbacks"
    return [
        "/console/", "/console/live", "/console/targets", lists, f"{lists}?status=dead", f"{lists}?app_id=app7",
        f"{lists}?status=queued%2Cretrying", f"{lists}?target=https%3A%2F%2Ftarget3.example%3A443",
        f"{lists}?app_id=nobody", f"{lists}?message_type=nothing", f"{lists}?http_status=404", f"{lists}/{one}",
        f"{lists}/{one}/replay", "/console/dead-letters", "/console/dead-letters?app_id=app17",
        "/console/dead-letters?http_status=404", "/console/dead-letters?reason=rejected", "/console/pauses",
        "/console/dead-letters/groups?by=target", "/console/dead-letters/groups?by=hour", "/console/waiting",
        "/console/targets/one?target=https%3A%2F%2Ftarget3.example%3A443", "/console/apps?app_id=app7",
        "/console/bulk/replay?status=dead", "/console/search?q=status:dead", "/console/operations",
        "/console/settings", "/console/schedule", "/console/unreadable", "/console/audit",
    ]


def first_byte(url):
    """In ms, how many bytes the page has, and its status."""
    began = time.perf_counter()
    try:
        answer = urllib.request.urlopen(url)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        first = answer.read(1)
        took = time.perf_counter() - began
        return took * 1000, len(first) + len(answer.read()), answer.status


def filled(binary, count, directory, url):
    """Fills the journal if it is empty, and returns the newest dead letter."""
    journal = directory / "data" / "journal.db"
    if url or not journal.exists():
        with gateway(binary, directory, url):
            pass
        began = time.monotonic()
        if not url:
            fill(journal, count)
        elif psql(url, "SELECT 1 FROM callbacks LIMIT 1") == "":
            fill_postgres(url, count)
        print(f"{count} callbacks in {time.monotonic() - began:.0f} s", flush=True)
    return newest_dead_postgres(url) if url else newest_dead(journal)


def measure(binary, count, limit, kept, url):
    with tempfile.TemporaryDirectory() as name:
        directory = kept or Path(name)
        directory.mkdir(exist_ok=True)
        dead, slow = filled(binary, count, directory, url), []
        with gateway(binary, directory, url) as console:
            print(f"{'median ms':>10} {'max ms':>8} {'bytes':>8} status  page")
            for page in pages(dead):
                found, began = [], time.monotonic()
                while len(found) < REPEATS and (len(found) < 3 or time.monotonic() - began < MAX_TIME):
                    found.append(first_byte(console + page))
                median, most = statistics.median(it[0] for it in found), max(it[0] for it in found)
                status = max(it[2] for it in found)
                print(f"{median:10.1f} {most:8.1f} {found[0][1]:8} {status:6}  {page}", flush=True)
                if status != 200 or (limit and median > limit):
                    slow.append(page)
        return slow


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary", type=Path)
    parser.add_argument("--callbacks", type=int, default=1_000_000)
    parser.add_argument("--limit-ms", type=float)
    parser.add_argument("--directory", type=Path, help="keeps the journal, or uses the one that is there")
    parser.add_argument("--postgres", metavar="URL", help="the journal of this database, which has none or that of an earlier run")
    given = parser.parse_args()
    slow = measure(given.binary.resolve(), given.callbacks, given.limit_ms, given.directory, given.postgres)
    if slow:
        sys.exit(f"slower than {given.limit_ms} ms: {', '.join(slow)}")


if __name__ == "__main__":
    main()
