"""Runs schemathesis over both APIs of a gateway that it starts, and says what it found."""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BINARY = os.environ["RINGBACK_BIN"]
SCHEMATHESIS = str(Path(sys.executable).parent / "schemathesis")
# What every answer must be. What a valid request may be answered depends on what the gateway holds.
CHECKS = ",".join((
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "allow_header_conformance",
))
# Seconds for each API, and for one answer.
BUDGET = {"callers": 20, "operators": 30}
ANSWER_SECONDS = "10"
# What schemathesis may take beyond its budget: it reads the document first, and writes its report at the end.
GRACE_SECONDS = 240
# Of the random input. Runs still differ: two workers share a budget of time, and the gateway makes new ids.
SEED = "1"


def started(directory):
    """A `ringback dev` on free ports: the process, and the addresses of callers and operators."""
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    free = "127.0.0.1:0"
    log = open(directory / "dev.log", "w+", encoding="utf-8")
    process = subprocess.Popen(
        [BINARY, "dev", "--listen", free, "--callee-listen", free, "--admin-listen", free, "--metrics-listen", free],
        cwd=directory, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        text = Path(log.name).read_text(encoding="utf-8")
        callers = re.search(r"callers POST to (http://[0-9.:]+)/", text)
        operators = re.search(r"console: (http://[0-9.:]+)/", text)
        if callers and operators:
            return process, {"callers": callers[1], "operators": operators[1]}
        time.sleep(0.05)
    process.kill()
    raise SystemExit(f"ringback dev did not start:\n{Path(log.name).read_text(encoding='utf-8')}")


def strict(api, address, directory):
    """The document in a file, with what clients need not know: answers have no other fields than it names."""
    with urllib.request.urlopen(f"{address}/openapi.json", timeout=10) as answer:
        document = json.load(answer)
    if api == "callers":
        for name in ("Answer", "Report", "Attempt"):
            document["components"]["schemas"][name]["additionalProperties"] = False
    file = directory / f"{api}.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    return str(file)


def checked(api, address, directory):
    """Whether nothing was found."""
    began = time.monotonic()
    command = [
        SCHEMATHESIS, "run", strict(api, address, directory), "--url", address, "--checks", CHECKS, "--phases", "examples,coverage,fuzzing",
        "--max-examples", "12", "--max-time", str(BUDGET[api]), "--request-timeout", ANSWER_SECONDS, "--seed", SEED,
        "--workers", "2", "--no-shrink", "--warnings", "off", "--continue-on-failure",
    ]
    limit = BUDGET[api] + GRACE_SECONDS
    try:
        run = subprocess.run(
            command, cwd=directory, capture_output=True, text=True, encoding="utf-8", timeout=limit,
            env={**os.environ, "NO_COLOR": "1", "COLUMNS": "160"},
        )
    except subprocess.TimeoutExpired as expired:
        # Bytes, even where text was asked for.
        said = (expired.stdout or b"")[-4_000:].decode("utf-8", "replace")
        print(f"{api}: schemathesis did not end in {limit} s, and was ended. It had said:", said, sep="\n", flush=True)
        return False
    print(f"{api}: schemathesis in {time.monotonic() - began:.0f} s, exit code {run.returncode}", flush=True)
    if run.returncode != 0:
        print(run.stdout[-12_000:], run.stderr[-2_000:], sep="\n")
    return run.returncode == 0


def main():
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ringback-openapi-") as top:
        directory = Path(top)
        process, addresses = started(directory)
        try:
            passed = [checked(api, addresses[api], directory) for api in BUDGET]
            alive = process.poll() is None
        finally:
            process.terminate()
            process.wait(timeout=30)
        panics = [line for line in (directory / "dev.log").read_text(encoding="utf-8").splitlines() if "panicked" in line]
    if not alive or panics:
        print("the gateway ended, or panicked:", *panics, sep="\n")
    print(f"openapi: {time.monotonic() - began:.0f} s")
    sys.exit(0 if all(passed) and alive and not panics else 1)


main()
