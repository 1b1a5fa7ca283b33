"""Runs the clients of docs/guides/callers, and checks that faults made in them on purpose are noticed."""

import contextlib
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import languages
import probes
import processes
import spring

BINARY = str(Path(os.environ["RINGBACK_BIN"]).resolve())
NO_SPRING = "Spring Boot 3 is not in Debian, and nothing is fetched from Maven Central, so they were not run"


def prepared(language, directory, *edits):
    """The client's command, built in a directory of its own, with texts in place of others."""
    directory.mkdir()
    text = (languages.CLIENTS / language.file).read_text(encoding="utf-8")
    for old, new in edits:
        if text.count(old) != 1:
            raise RuntimeError(f"{language.file} must have this once, for the test to change it: {old}")
        text = text.replace(old, new)
    (directory / language.file).write_text(text, encoding="utf-8")
    return language.build(directory)


def asked(probe, command, directory, gateways, caller):
    if probe == "gateway":
        return probes.gateway(command, directory, gateways, caller)
    return getattr(probes, probe)(command, directory)


def checked(language, top, gateways):
    """The faults of a client as it is."""
    began = time.monotonic()
    directory = top / language.file
    command = prepared(language, directory)
    # The filter sends nothing: another client does.
    caller = command if "caller" in language.probes else languages.python(languages.CLIENTS)
    found = []
    for probe in language.probes:
        if probe == "failure" and language.failing:
            variant = top / f"{language.file}.failing"
            found += [f"{language.name}: {fault}" for fault in probes.failure(prepared(language, variant, language.failing), variant)]
            continue
        found += [f"{language.name}: {probe}: {fault}" for fault in asked(probe, command, directory, gateways, caller)]
    print(f"{language.name}: {', '.join(language.probes)} in {time.monotonic() - began:.1f} s", flush=True)
    return found


def noticed(language, number, fault, top):
    """What is wrong with the probe: it noticed nothing."""
    directory = top / f"{language.file}.{number}"
    edits = [(fault.old, fault.new)]
    if fault.probe == "failure" and language.failing:
        edits.append(language.failing)
    command = prepared(language, directory, *edits)
    try:
        found = asked(fault.probe, command, directory, {}, None)
    except RuntimeError as error:
        return [f"self-test: {language.name}: {fault.what}: {error}"]
    return [] if found else [f"self-test: {language.name}: nobody noticed that {fault.what}"]


def main():
    found, jobs = [], []
    if not probes.STANDARD_JS:
        print("SKIPPED: callers: the standard's library for JavaScript could not be installed (npm)")
    for language in languages.LANGUAGES:
        if language.skipped:
            print(f"SKIPPED: callers: {language.name}: {language.skipped}")
    print(f"SKIPPED: callers: {', '.join(spring.FILES)}: {NO_SPRING}")
    filter_able = not next(one for one in languages.LANGUAGES if one.file == "RingbackFilter.java").skipped
    able = [language for language in languages.LANGUAGES if not language.skipped]
    with tempfile.TemporaryDirectory(prefix="ringback-callers-") as name, contextlib.ExitStack() as stack:
        top = Path(name)
        key = "rbk_" + os.urandom(32).hex()
        gateways = {}
        for mode in ("hmac", "bearer"):
            signing, secret = probes.secret(), probes.secret()
            secrets = {"signing_secrets": signing, **({"secrets": secret} if mode == "hmac" else {"keys": probes.hashed(key)})}
            started = processes.gateway(BINARY, top / mode, mode, probes.APP, secrets)
            settings = {"RINGBACK_SECRET": secret} if mode == "hmac" else {"RINGBACK_KEY": key}
            gateways[mode] = (stack.enter_context(started), settings, signing)
        # More than there are cores: callers pause between two attempts.
        with ThreadPoolExecutor(max_workers=8) as pool:
            # The slowest first.
            for language in sorted(able, key=lambda one: one.name in ("Python", "Node")):
                jobs.append(pool.submit(checked, language, top, gateways))
                for number, fault in enumerate(language.faults):
                    jobs.append(pool.submit(noticed, language, number, fault, top))
            if filter_able:
                jobs.append(pool.submit(spring.compile_against_declarations, top / "spring"))
            for job in jobs:
                try:
                    found += job.result() or []
                except Exception as error:  # one that fails must not hide the others
                    found.append(f"{type(error).__name__}: {error}")
    print(f"{len(able)} clients run, {sum(len(one.faults) for one in able)} faults made on purpose")
    for fault in found:
        print(f"callers: {fault}", file=sys.stderr)
    return 1 if found else 0


sys.exit(main())
