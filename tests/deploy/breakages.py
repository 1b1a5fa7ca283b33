"""Deployment files broken on purpose, and what the right check says of each. Nothing said means that the
check has missed the fault."""

import copy
import shutil
import tomllib

import compose_faults
import kubernetes_faults
import unit_faults


def of_compose(text, compose):
    def sense(change):
        broken = copy.deepcopy(compose)
        change(broken["services"])
        return compose_faults.compose_sense(broken)

    yield "a misspelt key in compose", compose_faults.compose_schema(
        text.replace("stop_grace_period", "stop_grace_perod"))
    yield "a compose stop shorter than the shutdown timeout", sense(
        lambda s: s["dispatcher"].update(stop_grace_period="1m15s"))
    yield "a compose shutdown timeout that is not written", sense(
        lambda s: s["ingress"]["environment"].pop("RINGBACK__INGRESS__SHUTDOWN_TIMEOUT"))
    yield "a compose port open to everybody", sense(lambda s: s["ingress"].update(ports=["5106:5106"]))
    yield "a health check on another role's port", sense(
        lambda s: s["ingress"]["healthcheck"].update(test=["x", "http://127.0.0.1:5108/readyz"]))
    yield "a mount of a file of the checkout", sense(
        lambda s: s["rabbitmq"].update(volumes=["./deploy/rabbitmq/rabbitmq.conf:/etc/rabbitmq/rabbitmq.conf"]))
    yield "a volume that is not declared", sense(lambda s: s["rabbitmq"].update(volumes=["none:/none"]))
    yield "a root file system that can be written to", sense(lambda s: s["postgres"].pop("read_only"))
    yield "capabilities", sense(lambda s: s["callee"].update(cap_drop=[]))
    yield "new privileges", sense(lambda s: s["admin"].pop("security_opt"))
    yield "an image that a registry is asked for", sense(lambda s: s["admin"].pop("pull_policy"))
    yield "an image that nothing builds", sense(lambda s: s["ingress"].pop("build"))
    workspace = {"workspace": {"package": {"rust-version": "1.0"}}}
    good = "FROM rust:1.0-x\nRUN cargo build --locked\nUSER 1\n"
    yield "an image that runs as root", compose_faults.image_sense(good.replace("USER 1\n", ""), workspace)
    yield "an image with a syntax of its own", compose_faults.image_sense("# syntax=docker/dockerfile:1\n" + good, workspace)


def of_unit(unit, unit_text, settings):
    def unit_with(**keys):
        return unit_faults.unit_sense({**unit, **{key: [value] for key, value in keys.items()}}, settings)

    yield "a unit's stop shorter than a shutdown timeout", unit_with(TimeoutStopSec="75")
    yield "a unit's shutdown timeout that is not written", unit_faults.unit_sense(
        unit, {"ingress": {"shutdown_timeout": "30s"}})
    yield "a unit without readiness", unit_with(Type="exec")
    yield "a misspelt key in a unit", shutil.which("systemd-analyze") is None or unit_faults.unit_verified(
        "ringback.service", unit_text.replace("WatchdogSec", "WatchdogSecs"))
    yield "a unit's stop that kills", unit_with(KillSignal="SIGKILL")
    yield "a unit that runs as root", unit_with(DynamicUser="no")
    yield "a unit's queue outside of its directory", unit_with(StateDirectory="elsewhere")


def of_kubernetes(production, test, secrets, definitions):
    settings = tomllib.loads(kubernetes_faults.settings_text(production))

    def one(manifests, kind, name):
        return next(m for m in manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))

    def pod(manifest):
        return manifest["spec"]["template"]["spec"]

    def container(manifest):
        return pod(manifest)["containers"][0]

    def schema(kind, name, change, manifests=production):
        broken = copy.deepcopy(one(manifests, kind, name))
        change(broken)
        return kubernetes_faults.manifest_schema(broken)

    def sense(kind, name, change):
        manifests, examples = copy.deepcopy(production), copy.deepcopy(secrets)
        change(one([*manifests, *examples], kind, name))
        return kubernetes_faults.manifest_sense(manifests, examples, settings)

    def overlay(check, manifests, kind, name, change, *arguments):
        broken = copy.deepcopy(manifests)
        change(one(broken, kind, name))
        return check(broken, *arguments)

    ingress, dispatcher = "ringback-ingress", "ringback-dispatcher"
    yield "a misspelt key in a Deployment", schema(
        "Deployment", ingress, lambda m: pod(m).update(terminationGraceSeconds=1))
    yield "a wrong type in a Deployment", schema("Deployment", ingress, lambda m: m["spec"].update(replicas="two"))
    yield "a misspelt key in a NetworkPolicy", schema(
        "NetworkPolicy", "ringback-servers", lambda m: m["spec"]["egress"][0].update(port=[]))
    yield "a misspelt key in an Ingress", schema("Ingress", "ringback", lambda m: m["spec"].update(tsl=[]))
    yield "an unquoted number in a trigger", schema(
        "ScaledObject", dispatcher, lambda m: m["spec"]["triggers"][0]["metadata"].update(value=512))
    yield "a misspelt key in a trigger", schema(
        "ScaledObject", dispatcher, lambda m: m["spec"]["triggers"][1]["metadata"].update(exclude="true"))
    yield "a TriggerAuthentication without a key", schema(
        "TriggerAuthentication", "ringback-broker", lambda m: m["spec"]["secretTargetRef"][0].pop("key"))
    yield "a RabbitMQ of two nodes", schema(
        "RabbitmqCluster", "ringback-rabbitmq", lambda m: m["spec"].update(replicas=2), secrets)
    yield "a misspelt key in a PostgreSQL cluster", schema(
        "Cluster", "ringback-postgres", lambda m: m["spec"].update(instance=3), secrets)
    yield "a kind that nobody knows", kubernetes_faults.manifest_schema(
        {"apiVersion": "apps/v1", "kind": "Deploymint", "metadata": {"name": "x"}})
    yield "a pod stop shorter than the shutdown timeout", sense(
        "Deployment", dispatcher, lambda m: pod(m).update(terminationGracePeriodSeconds=75))
    yield "a pod stop that forgets the preStop sleep", sense(
        "Deployment", ingress, lambda m: pod(m).update(terminationGracePeriodSeconds=35))
    yield "a pod that may be root", sense("Deployment", dispatcher, lambda m: pod(m).pop("securityContext"))
    yield "a pod that may write to its root file system", sense(
        "Deployment", ingress, lambda m: container(m)["securityContext"].pop("readOnlyRootFilesystem"))
    yield "a pod with capabilities", sense(
        "Deployment", ingress, lambda m: container(m)["securityContext"].update(capabilities={"drop": ["NET_RAW"]}))
    yield "a directory of the node in a pod", sense(
        "Deployment", ingress, lambda m: pod(m)["volumes"].append({"name": "x", "hostPath": {"path": "/"}}))
    yield "a namespace that enforces nothing", sense(
        "Namespace", "ringback", lambda m: m["metadata"].update(labels={}))
    yield "a readiness probe on /healthz", sense(
        "Deployment", ingress, lambda m: container(m)["readinessProbe"]["httpGet"].update(path="/healthz"))
    yield "a Deployment without a startup probe", sense(
        "Deployment", "ringback-admin", lambda m: container(m).pop("startupProbe"))
    yield "a Deployment without a limit of memory", sense(
        "Deployment", ingress, lambda m: container(m)["resources"].pop("limits"))
    yield "an image that moves", sense("Deployment", ingress, lambda m: container(m).update(image="x/ringback:latest"))
    yield "a port that no setting names", sense(
        "Deployment", "ringback-admin", lambda m: container(m)["ports"][1].update(containerPort=5111))
    yield "a ConfigMap that does not exist", sense(
        "Deployment", ingress, lambda m: container(m)["envFrom"][0]["configMapRef"].update(name="x"))
    yield "a secret key that does not exist", sense(
        "Secret", "ringback-broker", lambda m: m["stringData"].pop("ingress-url"))
    yield "a Service that selects nothing", sense("Service", ingress, lambda m: m["spec"].update(selector={"app": "x"}))
    yield "a Service on a port that no pod has", sense(
        "Service", "ringback-admin", lambda m: m["spec"]["ports"][0].update(targetPort="x"))
    yield "an Ingress without its Service", sense(
        "Ingress", "ringback",
        lambda m: m["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"].update(name="x"))
    yield "a policy that selects nothing", sense(
        "NetworkPolicy", "ringback-targets", lambda m: m["spec"]["podSelector"].update(matchLabels={"app": "x"}))
    yield "a policy that opens another port", sense(
        "NetworkPolicy", "ringback-callers", lambda m: m["spec"]["ingress"][0]["ports"][0].update(port=5107))
    yield "no policy that denies", sense(
        "NetworkPolicy", "ringback-deny", lambda m: m["spec"].update(policyTypes=["Ingress"]))
    yield "a scaler without its Deployment", sense(
        "ScaledObject", dispatcher, lambda m: m["spec"]["scaleTargetRef"].update(name="x"))
    yield "a scaler whose number every apply sets back", sense(
        "Deployment", dispatcher, lambda m: m["spec"].update(replicas=2))
    yield "a scaler on a queue that does not exist", kubernetes_faults.scaler_sense(
        production, {"queues": definitions["queues"][:0]})
    yield "an object outside of its namespace", overlay(
        kubernetes_faults.overlay_sense, production, "Service", ingress,
        lambda m: m["metadata"].update(namespace="default"), "ringback")
    yield "another address in test", overlay(
        kubernetes_faults.test_address_sense, test, "Service", ingress,
        lambda m: m["spec"].update(loadBalancerIP="10.0.0.1"))
    yield "production without TLS", overlay(
        kubernetes_faults.production_address_sense, production, "Ingress", "ringback", lambda m: m["spec"].pop("tls"))


def of_monitoring(manifests):
    def monitor(change, check):
        broken = copy.deepcopy(manifests)
        change(next(m for m in broken if m["kind"] == "PodMonitor"))
        return check(broken)

    def sense(broken):
        settings = tomllib.loads(kubernetes_faults.settings_text(broken))
        return kubernetes_faults.manifest_sense(broken, kubernetes_faults.examples(), settings)

    def schema(broken):
        return [fault for one in broken for fault in kubernetes_faults.manifest_schema(one)]

    yield "a misspelt key in a PodMonitor", monitor(lambda m: m["spec"].update(joblabel="x"), schema)
    yield "a PodMonitor that selects nothing", monitor(
        lambda m: m["spec"]["selector"].update(matchLabels={"app": "x"}), sense)
    yield "a PodMonitor on a port that no pod has", monitor(
        lambda m: m["spec"]["podMetricsEndpoints"][0].update(port="x"), sense)
    yield "a PodMonitor under another job", monitor(lambda m: m["spec"].pop("jobLabel"), sense)
