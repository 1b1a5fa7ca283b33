# Stand-ins for the base images of our Dockerfiles and of the compose file, made of Debian packages
# under the names that these files use, so that no registry is needed.
#
# Each is kept as an archive under target/ and made anew when its recipe changes. They show that our
# files work together; they do not show how the images of a registry behave beyond what they share with
# them: users, volumes, commands and variables as their own files declare them.
#
# Sourced after engine.sh. Use: base_image NAME.

bases=$engine_cache/bases

# archive NAME SUITE MMDEBSTRAP-OPTION...: makes $bases/NAME.tar, if it is not there.
archive() {
    local file=$bases/$1.tar recipe suite=$2
    recipe=$(printf '%s\n' "$@" | cat - tests/deploy/postgres-entrypoint.sh | sha256sum)
    shift 2
    if [ ! -e "$file" ] || [ "$(cat "$file.recipe" 2>/dev/null)" != "$recipe" ]; then
        mkdir -p "$bases"
        mmdebstrap -q "$@" "$suite" "$file.new.tar" "$(mirror)"
        mv "$file.new.tar" "$file"
        echo "$recipe" >"$file.recipe"
    fi
}

base_image() {
    case $1 in
    distroless)
        # shellcheck disable=SC2016 # $1 is the hook's.
        archive distroless bookworm --variant=extract --include=libc6,libgcc-s1,ca-certificates,tzdata \
            --extract-hook='mkdir -p "$1/etc/ssl/certs"; cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"'
        docker import -c 'ENV PATH=/usr/local/bin:/usr/bin' -c 'USER 65532' \
            "$bases/distroless.tar" gcr.io/distroless/cc-debian12:nonroot
        ;;
    rabbitmq)
        # shellcheck disable=SC2016
        archive rabbitmq trixie --variant=essential --include=rabbitmq-server \
            --customize-hook='echo "[rabbitmq_management,rabbitmq_prometheus]." > "$1/etc/rabbitmq/enabled_plugins"' \
            --customize-hook='chmod 1777 "$1/var/lib/rabbitmq" "$1/var/log/rabbitmq"' \
            --customize-hook='rm -rf "$1"/var/lib/rabbitmq/.erlang.cookie "$1"/var/cache/apt "$1"/var/lib/apt/lists'
        docker import -c 'ENV HOME=/var/lib/rabbitmq' -c 'ENV LANG=C.UTF-8' \
            -c 'ENV PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            -c 'ENV RABBITMQ_LOGS=-' -c 'VOLUME /var/lib/rabbitmq' -c 'CMD ["rabbitmq-server"]' \
            "$bases/rabbitmq.tar" rabbitmq:4-management
        ;;
    postgres)
        # shellcheck disable=SC2016
        # Without the skip, /run is emptied at the end, and with it the directory of the socket.
        archive postgres trixie --variant=essential --include=postgresql-17 --skip=cleanup/run \
            --customize-hook='rm -rf "$1"/var/lib/postgresql/17 "$1"/etc/postgresql/17 "$1"/var/cache/apt "$1"/var/lib/apt/lists' \
            --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 1777 /var/lib/postgresql/data' \
            --customize-hook='chroot "$1" install -d -o postgres -g postgres -m 3777 /var/run/postgresql' \
            --customize-hook="install -m 755 tests/deploy/postgres-entrypoint.sh \"\$1/usr/local/bin/docker-entrypoint.sh\""
        docker import -c 'ENV PATH=/usr/local/bin:/usr/lib/postgresql/17/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            -c 'ENV LANG=C.UTF-8' -c 'ENV PGDATA=/var/lib/postgresql/data' -c 'VOLUME /var/lib/postgresql/data' \
            -c 'ENTRYPOINT ["docker-entrypoint.sh"]' -c 'CMD ["postgres"]' \
            "$bases/postgres.tar" postgres-without-stopsignal:local
        printf 'FROM postgres-without-stopsignal:local\nSTOPSIGNAL SIGINT\n' | docker build -q -t postgres:17 -
        ;;
    prometheus)
        # shellcheck disable=SC2016
        archive prometheus trixie --variant=extract --include=prometheus,libc6 \
            --extract-hook='for name in lib lib64; do ln -s "usr/$name" "$1/$name"; done' \
            --extract-hook='mkdir -p "$1/etc/prometheus" "$1/prometheus"; chown 65534:65534 "$1/prometheus"; printf "nobody:x:65534:65534::/:/\n" > "$1/etc/passwd"'
        docker import -c 'ENV PATH=/usr/bin' -c 'USER nobody' -c 'VOLUME /prometheus' -c 'WORKDIR /prometheus' \
            -c 'ENTRYPOINT ["/usr/bin/prometheus"]' \
            -c 'CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]' \
            "$bases/prometheus.tar" prom/prometheus:v3.5.0
        ;;
    rust)
        # With this machine's own toolchain, without its documentation.
        local toolchain
        toolchain=$(rustc --print sysroot)
        # shellcheck disable=SC2016
        # And with its certificates: it may reach crates.io through a proxy with an authority of its own.
        archive rust bookworm --variant=essential --include=gcc,libc6-dev,ca-certificates \
            --customize-hook='! [ -e /etc/ssl/certs/ca-certificates.crt ] || cp /etc/ssl/certs/ca-certificates.crt "$1/etc/ssl/certs/"' \
            --customize-hook="mkdir -p \"\$1/usr/local/rust\"; tar -C '$toolchain' --exclude=./share/doc --exclude=./lib/rustlib/src -c . | tar -x -C \"\$1/usr/local/rust\""
        docker import -c 'ENV PATH=/usr/local/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
            -c 'ENV CARGO_HOME=/usr/local/cargo' "$bases/rust.tar" "$(sed -n 's/^FROM \(rust:[^ ]*\).*/\1/p' deploy/Dockerfile)"
        ;;
    esac >/dev/null
}
