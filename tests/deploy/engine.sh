# A private Docker engine in a network namespace of its own, for the scripts in this directory.
#
# Nothing of it is visible outside: published ports, bridges and packet filter rules are those of the
# namespace, data root and socket are in a temporary directory. An engine that already runs on this
# machine is never used.
#
# Sourced. Use: engine_missing; engine_start; docker ...; engine_stop.

# What lasts between runs: tools and base images.
engine_cache=$(realpath "${CARGO_TARGET_DIR:-target}")/deploy
engine_home=

mirror() {
    local sources=/etc/apt/sources.list.d/debian.sources url=
    [ ! -r "$sources" ] || url=$(awk '/^URIs:/{print $2; exit}' "$sources")
    echo "${url:-http://deb.debian.org/debian}"
}

# Prints why no engine can be started here; nothing if one can.
engine_missing() {
    local command missing=()
    if [ "$(id -u)" -ne 0 ]; then
        echo "an engine of its own needs root"
        return
    fi
    for command in docker dockerd mmdebstrap ip; do
        command -v "$command" >/dev/null || missing+=("$command")
    done
    if [ ${#missing[@]} -gt 0 ]; then
        echo "not installed: ${missing[*]} (apt-get install docker.io mmdebstrap iproute2)"
    elif ! ip netns add "ringback-probe-$$" 2>/dev/null; then
        echo "this machine allows no network namespace"
    else
        ip netns delete "ringback-probe-$$"
    fi
}

# Compose and buildx of Debian 13, which Debian 12 does not have. Versions are fixed by the release.
engine_tools() {
    local directory=$engine_cache/tools
    if [ ! -d "$directory" ]; then
        mkdir -p "$engine_cache"
        rm -rf "$directory.new"
        mmdebstrap -q --variant=extract --include=docker-compose,docker-buildx \
            trixie "$directory.new" "$(mirror)"
        mv "$directory.new" "$directory"
    fi
    mkdir -p "$engine_home/config/cli-plugins"
    cp "$directory"/usr/libexec/docker/cli-plugins/docker-* "$engine_home/config/cli-plugins/"
}

# A command in the engine's network: its published ports are on 127.0.0.1 there. Not `ip netns exec`,
# which mounts a /sys without control groups.
in_engine_network() {
    nsenter --net="/run/netns/$engine_netns" "$@"
}

# Gives the namespace a way out, for builds that download. Undone by `engine_stop`.
engine_network() {
    ip link add rbk-host type veth peer name rbk-engine netns "$engine_netns"
    ip address add 10.213.177.1/30 dev rbk-host
    ip link set rbk-host up
    in_engine_network ip address add 10.213.177.2/30 dev rbk-engine
    in_engine_network ip link set rbk-engine up
    in_engine_network ip route add default via 10.213.177.1
    iptables -t nat -A POSTROUTING -s 10.213.177.0/30 -j MASQUERADE
    engine_forward=$(cat /proc/sys/net/ipv4/ip_forward)
    echo 1 >/proc/sys/net/ipv4/ip_forward
}

engine_start() {
    engine_home=$(mktemp -d "${TMPDIR:-/tmp}/ringback-engine-XXXXXX")
    engine_netns=ringback-engine-$$
    engine_forward=
    export DOCKER_HOST=unix://$engine_home/docker.sock
    export DOCKER_CONFIG=$engine_home/config
    export DOCKER_BUILDKIT=1
    unset DOCKER_CONTEXT
    engine_tools
    ip netns add "$engine_netns"
    in_engine_network ip link set lo up
    # Not by the function: its subshell would be what is killed at the end, and not the engine.
    nsenter --net="/run/netns/$engine_netns" dockerd --host "$DOCKER_HOST" --data-root "$engine_home/data" \
        --exec-root "$engine_home/exec" --pidfile "$engine_home/docker.pid" \
        >"$engine_home/dockerd.log" 2>&1 &
    engine_process=$!
    local tries=0
    until docker version >/dev/null 2>&1; do
        tries=$((tries + 1))
        if [ "$tries" -gt 120 ] || ! kill -0 "$engine_process" 2>/dev/null; then
            tail -n 20 "$engine_home/dockerd.log" >&2
            return 1
        fi
        sleep 0.5
    done
}

# Stops the engine with all its containers and removes what it has made.
engine_stop() {
    [ -n "$engine_home" ] || return 0
    if [ -n "${engine_process:-}" ]; then
        docker ps -aq 2>/dev/null | xargs -r docker rm -f >/dev/null 2>&1 || true
        kill "$engine_process" 2>/dev/null || true
        wait "$engine_process" 2>/dev/null || true
    fi
    if [ -n "${engine_forward:-}" ]; then
        iptables -t nat -D POSTROUTING -s 10.213.177.0/30 -j MASQUERADE || true
        echo "$engine_forward" >/proc/sys/net/ipv4/ip_forward
        ip link delete rbk-host 2>/dev/null || true
    fi
    ip netns delete "$engine_netns" 2>/dev/null || true
    # What a killed container has left mounted.
    awk -v home="$engine_home/" 'index($2, home) == 1 {print $2}' /proc/mounts | sort -r |
        xargs -r -n 1 umount -l 2>/dev/null || true
    rm -rf "$engine_home"
    engine_home=
}
