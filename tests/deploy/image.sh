# Assembles the image of deploy/Dockerfile from a binary that is already built: the last stage as it is,
# on what the build stage would have put into /out. Compiling in a container takes half an hour.
#
# Sourced. Use: image_context BINARY DIRECTORY, then `docker build DIRECTORY`.

image_context() {
    local binary=$1 directory=$2
    mkdir -p "$directory/out/usr/local/bin"
    strip --strip-all -o "$directory/out/usr/local/bin/ringback" "$binary"
    deploy/sbom "$directory/out/usr/share/doc/ringback"
    install -d -m 0700 "$directory/out/var/lib/ringback"
    sed -n '/^FROM gcr/,$p' deploy/Dockerfile | sed 's/--from=build //' >"$directory/Dockerfile"
}
