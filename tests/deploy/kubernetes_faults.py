"""Faults of the Kubernetes manifests, as kustomize renders them. Each function returns sentences; none
means that all is right."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml

from durations import seconds

TOP = Path("deploy/kubernetes")
# The oldest supported Kubernetes (preStop sleep), and the newest schema available.
KUBERNETES = ["1.30", "1.37"]
SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
# Kinds of others' operators, and our schemas of them.
FOREIGN = {
    "keda.sh/v1alpha1": "keda",
    "rabbitmq.com/v1beta1": "rabbitmq",
    "postgresql.cnpg.io/v1": "cnpg",
    "monitoring.coreos.com/v1": "prometheus",
}


def documents(text):
    return [one for one in yaml.safe_load_all(text) if one]


def examples():
    return [one for file in sorted((TOP / "examples").glob("*.yaml")) for one in documents(file.read_text())]


def rendered(directory):
    """The manifests of a kustomization."""
    command = [*os.environ["KUSTOMIZE"].split(), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise SystemExit(f"check-deploy: {' '.join(command)}: {done.stderr}")
    return documents(done.stdout)


def with_component(name):
    """The base with one component alone, which no overlay may use."""
    with tempfile.TemporaryDirectory() as directory:
        top = os.path.relpath(TOP.resolve(), os.path.realpath(directory))
        kustomization = {
            "resources": [f"{top}/base"],
            "components": [f"{top}/components/{name}"],
            "images": [{"name": "ringback", "newTag": "0.0.0"}],
        }
        (Path(directory) / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
        return rendered(directory)


def manifest_schema(manifest):
    """Validates against the schema of Kubernetes, or ours for the kinds of other operators."""
    name = f"{manifest.get('kind')} {manifest.get('metadata', {}).get('name')}"
    if manifest.get("apiVersion") in FOREIGN:
        file = SCHEMAS / f"{FOREIGN[manifest['apiVersion']]}-{str(manifest['kind']).lower()}.json"
        if not file.exists():
            return [f"{name}: there is no schema for it in tests/schemas"]
        validator = jsonschema.Draft202012Validator(json.loads(file.read_text()))
        return [f"{name}: {fault.json_path}: {fault.message}" for fault in validator.iter_errors(manifest)]
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(manifest, version, strict=True)
        except (
            kubernetes_validate.ValidationError,
            kubernetes_validate.SchemaNotFoundError,
            kubernetes_validate.InvalidSchemaError,
        ) as fault:
            return [f"{name} (Kubernetes {version}): {fault}"]
    return []


def settings_text(manifests):
    """The settings file of all roles."""
    maps = [one["data"] for one in manifests if one["kind"] == "ConfigMap"]
    return next(data["ringback.toml"] for data in maps if "ringback.toml" in data)


def environment_of(deployment, manifests, secrets):
    """The variables of the only container, with those of ConfigMaps and of the example Secrets."""
    named = {(m["kind"], m["metadata"]["name"]): m for m in [*manifests, *secrets]}
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    found = {}
    for source in container.get("envFrom", []):
        found |= named["ConfigMap", source["configMapRef"]["name"]]["data"]
    for env in container["env"]:
        ref = env.get("valueFrom", {}).get("secretKeyRef")
        found[env["name"]] = named["Secret", ref["name"]]["stringData"][ref["key"]] if ref else env["value"]
    return found


def manifest_sense(manifests, secrets, settings):
    """Whether the objects fit each other. `settings` is the parsed TOML."""
    found = []
    named = {(m["kind"], m["metadata"]["name"]): m for m in [*manifests, *secrets]}
    deployments = [m for m in manifests if m["kind"] == "Deployment"]
    for manifest in manifests:
        kind, name, spec = manifest["kind"], manifest["metadata"]["name"], manifest.get("spec", {})
        who = f"{kind} {name}"
        if kind == "Deployment":
            found += deployment_sense(name, manifest, named, settings)
            found += restricted(name, manifest)
        elif kind == "Namespace":
            if manifest["metadata"]["labels"].get("pod-security.kubernetes.io/enforce") != "restricted":
                found.append(f"{who}: does not enforce the restricted standard")
        elif kind == "PodDisruptionBudget":
            if not any(selects(spec["selector"], one) for one in deployments):
                found.append(f"{who}: selects no pod")
        elif kind == "Service":
            found += service_sense(who, spec, deployments)
        elif kind == "NetworkPolicy":
            found += policy_sense(who, spec, deployments)
        elif kind == "Ingress":
            found += ingress_sense(who, spec, named)
        elif kind == "PodMonitor":
            found += pod_monitor_sense(who, spec, deployments)
        elif kind == "TriggerAuthentication":
            for ref in spec["secretTargetRef"]:
                found += secret_sense(who, ref, named)
        elif kind in ("ScaledObject", "HorizontalPodAutoscaler"):
            scaled = named.get(("Deployment", spec["scaleTargetRef"]["name"]))
            if scaled is None:
                found.append(f"{who}: scales no Deployment of ours")
            elif "replicas" in scaled["spec"]:
                found.append(f"{who}: every apply sets the number of replicas back")
            for trigger in spec.get("triggers", []):
                if ("TriggerAuthentication", trigger["authenticationRef"]["name"]) not in named:
                    found.append(f"{who}: a trigger names no TriggerAuthentication of ours")
    return found + denied_sense(manifests)


def overlay_sense(manifests, namespace):
    """Everything of an overlay is in its namespace, which it makes."""
    found = []
    if ("Namespace", namespace) not in {(m["kind"], m["metadata"]["name"]) for m in manifests}:
        found.append(f"overlay: does not make the namespace {namespace}")
    for manifest in manifests:
        if manifest["kind"] != "Namespace" and manifest["metadata"].get("namespace") != namespace:
            found.append(f"{manifest['kind']} {manifest['metadata']['name']}: is not in the namespace {namespace}")
    return found


def test_address_sense(manifests):
    """Test callers use 10.122.153.25:5106."""
    services = [m["spec"] for m in manifests if m["kind"] == "Service" and m["spec"].get("type") == "LoadBalancer"]
    addresses = [(one.get("loadBalancerIP"), port["port"]) for one in services for port in one["ports"]]
    return [] if addresses == [("10.122.153.25", 5106)] else [f"overlay test: callers find {addresses}"]


def production_address_sense(manifests):
    """Production callers use https://etc-callback.ebaas.com."""
    hosts = [
        (rule["host"], [host for tls in m["spec"].get("tls", []) for host in tls["hosts"]])
        for m in manifests
        if m["kind"] == "Ingress"
        for rule in m["spec"]["rules"]
    ]
    host = "etc-callback.ebaas.com"
    return [] if hosts == [(host, [host])] else [f"overlay production: callers find {hosts}"]


def pod_labels(deployment):
    return deployment["spec"]["template"]["metadata"]["labels"]


def selects(selector, deployment):
    labels = selector.get("matchLabels", {} if selector == {} else selector)
    return labels.items() <= pod_labels(deployment).items()


def container_ports(deployment):
    return deployment["spec"]["template"]["spec"]["containers"][0]["ports"]


def secret_sense(who, ref, named):
    secret = named.get(("Secret", ref["name"]), {})
    if ref["key"] in secret.get("stringData", {}):
        return []
    return [f"{who}: the Secret {ref['name']} has no {ref['key']} (deploy/kubernetes/examples)"]


def service_sense(who, spec, deployments):
    chosen = [one for one in deployments if selects(spec["selector"], one)]
    if not chosen:
        return [f"{who}: selects no pod"]
    names = {port["name"] for one in chosen for port in container_ports(one)}
    return [f"{who}: no pod has a port {port['targetPort']}" for port in spec["ports"] if port["targetPort"] not in names]


def pod_monitor_sense(who, spec, deployments):
    """Every pod of ours is scraped, on a port that it has, and under the name that the alerts expect."""
    found = [
        f"{who}: does not select {one['metadata']['name']}" for one in deployments if not selects(spec["selector"], one)
    ]
    for endpoint in spec["podMetricsEndpoints"]:
        for one in deployments:
            if endpoint["port"] not in [port["name"] for port in container_ports(one)]:
                found.append(f"{who}: {one['metadata']['name']} has no port {endpoint['port']}")
    jobs = {pod_labels(one).get(spec.get("jobLabel")) for one in deployments}
    if jobs != {"ringback"}:
        found.append(f"{who}: its job is not ringback but {sorted(map(str, jobs))}")
    return found


def ingress_sense(who, spec, named):
    found = []
    for rule in spec["rules"]:
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            service = named.get(("Service", backend["name"]), {"spec": {"ports": []}})
            if backend["port"]["name"] not in [port["name"] for port in service["spec"]["ports"]]:
                found.append(f"{who}: there is no Service {backend['name']} with such a port")
    return found


def policy_sense(who, spec, deployments):
    """A policy selects pods of ours, and opens ports that they have."""
    chosen = [one for one in deployments if selects(spec["podSelector"], one)]
    if not chosen:
        return [f"{who}: selects no pod"]
    ports = {port["containerPort"] for one in chosen for port in container_ports(one)}
    opened = {port["port"] for rule in spec.get("ingress", []) for port in rule["ports"]}
    return [f"{who}: opens port {port}, which no pod has" for port in sorted(opened - ports)]


def denied_sense(manifests):
    """What no policy names is denied to each of our pods, in both directions."""
    denying = [
        m["spec"]
        for m in manifests
        if m["kind"] == "NetworkPolicy" and not m["spec"].get("ingress") and not m["spec"].get("egress")
        and set(m["spec"]["policyTypes"]) == {"Ingress", "Egress"}
    ]
    return [
        f"{m['metadata']['name']}: no NetworkPolicy denies what is not named"
        for m in manifests
        if m["kind"] == "Deployment" and not any(selects(spec["podSelector"], m) for spec in denying)
    ]


def deployment_sense(name, manifest, named, settings):
    found = []
    pod = manifest["spec"]["template"]["spec"]
    container = pod["containers"][0]
    role = (container.get("args") or [""])[0]
    sleep = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    # `admin` has its health where a dispatcher has it, and stops as one.
    section = "dispatcher" if role == "admin" else role
    own = settings.get(section, {})
    if "shutdown_timeout" not in own or "terminationGracePeriodSeconds" not in pod:
        found.append(f"{name}: shutdown_timeout and terminationGracePeriodSeconds must both be written")
    elif pod["terminationGracePeriodSeconds"] <= seconds(own["shutdown_timeout"]) + sleep:
        found.append(
            f"{name}: terminationGracePeriodSeconds is not longer than "
            f"the preStop sleep {sleep} s and the shutdown timeout {own['shutdown_timeout']}"
        )
    metrics = settings.get("metrics", {}).get("listen", "")
    values = {env["name"]: env.get("value") for env in container["env"]}
    listens = [own.get("listen", ":0"), values.get("RINGBACK__ADMIN__LISTEN"), metrics]
    listened = [int(one.rpartition(":")[2]) for one in listens if one]
    if [p["containerPort"] for p in container["ports"]] != listened:
        found.append(f"{name}: the container's ports are not those that its settings name: {listened}")
    if not metrics.startswith("0.0.0.0:"):
        found.append(f"{name}: metrics.listen is not reachable from outside the pod")
    for probe, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz")):
        if container.get(probe, {}).get("httpGet", {}).get("path") != path:
            found.append(f"{name}: {probe} does not ask {path}")
    resources = container.get("resources", {})
    if not {"cpu", "memory"} <= resources.get("requests", {}).keys() or "memory" not in resources.get("limits", {}):
        found.append(f"{name}: requests, or the limit of memory, are missing")
    if container["image"].rpartition(":")[2] in (container["image"], "latest"):
        found.append(f"{name}: its image has no tag that stays")
    for env in container.get("env", []):
        if "secretKeyRef" in env.get("valueFrom", {}):
            found += secret_sense(name, env["valueFrom"]["secretKeyRef"], named)
    maps = [volume["configMap"]["name"] for volume in pod.get("volumes", []) if "configMap" in volume]
    maps += [source["configMapRef"]["name"] for source in container.get("envFrom", [])]
    for one in maps:
        if ("ConfigMap", one) not in named:
            found.append(f"{name}: uses a ConfigMap {one} that is not here")
    return found


def restricted(name, manifest):
    """The restricted Pod Security Standard (https://kubernetes.io/docs/concepts/security/pod-security-standards/),
    and a read-only root file system."""
    found = []
    pod = manifest["spec"]["template"]["spec"]
    security = pod.get("securityContext", {})
    if not security.get("runAsNonRoot") or not security.get("runAsUser"):
        found.append(f"{name}: may run as root")
    if security.get("seccompProfile", {}).get("type") != "RuntimeDefault":
        found.append(f"{name}: has no seccomp profile")
    for container in pod["containers"]:
        own = container.get("securityContext", {})
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{name}: may gain privileges")
        if own.get("capabilities") != {"drop": ["ALL"]}:
            found.append(f"{name}: has capabilities")
        if own.get("readOnlyRootFilesystem") is not True:
            found.append(f"{name}: its root file system is not read-only")
    for volume in pod.get("volumes", []):
        if not {"configMap", "emptyDir", "secret", "persistentVolumeClaim"} & volume.keys():
            found.append(f"{name}: the volume {volume['name']} is of a kind that is not allowed")
    if pod.get("hostNetwork") or pod.get("hostPID") or pod.get("hostIPC"):
        found.append(f"{name}: uses a namespace of the node")
    return found


def scaler_sense(manifests, definitions):
    """KEDA ignores a missing queue silently: every queue that it watches must exist."""
    queues = {queue["name"] for queue in definitions["queues"]}
    return [
        f"ScaledObject: there is no queue {trigger['metadata']['queueName']}"
        for manifest in manifests
        if manifest["kind"] == "ScaledObject"
        for trigger in manifest["spec"]["triggers"]
        if trigger["metadata"]["queueName"] not in queues
    ]
