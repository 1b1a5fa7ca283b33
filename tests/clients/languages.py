"""The clients: what each needs, how it is started, and the faults that are made in it on purpose."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

CLIENTS = Path("docs/guides/callers").resolve()
HERE = Path(__file__).resolve().parent
# Debian's libtomcat10-java.
JARS = ("annotations-api", "api", "catalina", "coyote", "jaspic-api", "jni", "juli", "servlet-api", "util", "util-scan")
TOMCAT = [jar for jar in (f"/usr/share/java/tomcat10-{name}.jar" for name in JARS) if Path(jar).exists()]


@dataclass
class Fault:
    """A text of the client and what stands in its place; the probe must notice it."""

    what: str
    probe: str
    old: str
    new: str


@dataclass
class Language:
    name: str
    file: str
    build: object
    skipped: str = ""
    probes: tuple = ("caller", "receiver", "failure", "secrets", "gateway")
    faults: list = field(default_factory=list)
    # A text of the sample's handler, and in its place one that fails, once, where the message has "fail-once".
    failing: tuple = ()


def built(command, directory):
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")


def python(directory):
    return ["python3", "-B", str(directory / "ringback.py")]


def node(directory):
    return ["node", str(directory / "ringback.mjs")]


def go(directory):
    built(["go", "build", "-o", "ringback", "ringback.go"], directory)
    return [str(directory / "ringback")]


# The little that a test runs is not worth compiling well.
JAVA = ["java", "-XX:-UsePerfData", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Dfile.encoding=UTF-8",
        "-Dsun.stdout.encoding=UTF-8", "-Dsun.jnu.encoding=UTF-8"]
JAVAC = ["javac", "-J-XX:TieredStopAtLevel=1", "-J-XX:+UseSerialGC", "--release", "17", "-encoding", "UTF-8",
         "-Xlint:all,-serial,-processing", "-Werror", "-d", "."]


def java(directory):
    built([*JAVAC, "Ringback.java"], directory)
    return [*JAVA, "-cp", str(directory), "com.example.ringback.Ringback"]


def servlet_filter(directory):
    shutil.copy(HERE / "FilterServer.java", directory)
    path = ":".join(TOMCAT)
    # Tomcat's own jars name annotations that are not there.
    plain = [word for word in JAVAC if word != "-Werror" and not word.startswith("-Xlint")]
    built([*plain, "-cp", path, "RingbackFilter.java", "FilterServer.java"], directory)
    return [*JAVA, "-cp", f"{directory}:{path}", "com.example.ringback.FilterServer", str(directory)]


def lacks(*tools):
    return ", ".join(tool for tool in tools if not shutil.which(tool))


def missing(*tools):
    absent = lacks(*tools)
    return f"not in PATH: {absent}" if absent else ""


LANGUAGES = [
    Language("Python", "ringback.py", python, faults=[
        Fault("no signature is compared", "receiver", "matches = False", "matches = True"),
        Fault("old timestamps are taken", "receiver", "TOLERANCE = 300", "TOLERANCE = 300_000"),
        Fault("a duplicate is handled again", "receiver", "if done is not None:", "if False:"),
        Fault("a new idempotency key for each attempt", "caller",
              '{"content-type": "application/json", **headers}',
              '{"content-type": "application/json", "idempotency-key": str(uuid.uuid4())}'),
        Fault("a repeat under the same webhook-id", "caller", "str(uuid.uuid4()), int(time.time())", '"one", int(time.time())'),
        Fault("a refusal is repeated", "caller", 'REPEATED = {"408",', 'REPEATED = {"400", "408",'),
        Fault("the message is written anew", "caller", "message + b", "json.dumps(json.loads(message)).encode() + b"),
        Fault("a failed callback stays known", "failure", "self.seen.end(message_id, ended)", "self.seen.end(message_id, True)"),
    ], failing=(
        '    print("handled", message_id',
        '    if b"fail-once" in message and not os.environ.get("FAILED"):\n'
        '        os.environ["FAILED"] = "1"\n        raise ValueError("as the message asks")\n    print("handled", message_id',
    )),
    Language("Node", "ringback.mjs", node, missing("node"), faults=[
        Fault("no signature is compared", "receiver", "let matches = false;", "let matches = true;"),
        Fault("old timestamps are taken", "receiver", "TOLERANCE = 300;", "TOLERANCE = 300_000;"),
        Fault("a duplicate is handled again", "receiver", "if (done !== undefined) {", "if (false) {"),
        Fault("a new idempotency key for each attempt", "caller", "const headers = { ...given };",
              'const headers = { ...given, ...(body && { "idempotency-key": randomUUID() }) };'),
        Fault("a refusal is repeated", "caller", '"network", "408"', '"network", "400", "408"'),
        Fault("a failed callback stays known", "failure", "seen.end(id, ended);", "seen.end(id, true);"),
    ], failing=(
        '  console.log("handled"',
        '  if (message.includes("fail-once") && !globalThis.failed) {\n    globalThis.failed = true;\n'
        '    throw new Error("as the message asks");\n  }\n  console.log("handled"',
    )),
    Language("Java", "Ringback.java", java, missing("java", "javac"), faults=[
        Fault("no signature is compared", "receiver", "boolean matches = false;", "boolean matches = true;"),
        Fault("a new idempotency key for each attempt", "caller", '("idempotency-key", idempotencyKey)',
              '("idempotency-key", UUID.randomUUID().toString())'),
    ], failing=(
        "            handler.handle(id, type, body);",
        '            if (new String(body, StandardCharsets.UTF_8).contains("fail-once") && System.setProperty("failed", "1") == null) {\n'
        '                throw new IllegalStateException("as the message asks");\n            }\n            handler.handle(id, type, body);',
    )),
    Language("the servlet filter", "RingbackFilter.java", servlet_filter,
             missing("java", "javac") or ("" if len(TOMCAT) == len(JARS) else "Tomcat 10 is not installed (libtomcat10-java)"),
             ("receiver", "failure", "gateway"), faults=[
        Fault("no signature is compared", "receiver", "boolean matches = false;", "boolean matches = true;"),
        Fault("a failed callback stays known", "failure", "end(id, ended);", "end(id, true);"),
    ]),
    Language("Go", "ringback.go", go, missing("go"), faults=[
        Fault("no signature is compared", "receiver", "matches := false", "matches := true"),
        Fault("a new idempotency key for each attempt", "caller", '("idempotency-key", key)', '("idempotency-key", randomID())'),
    ], failing=(
        '\t\t\tfmt.Println("handled"',
        '\t\t\tif strings.Contains(string(message), "fail-once") && os.Getenv("FAILED") == "" {\n'
        '\t\t\t\tos.Setenv("FAILED", "1")\n\t\t\t\treturn errors.New("as the message asks")\n\t\t\t}\n\t\t\tfmt.Println("handled"',
    )),
]
