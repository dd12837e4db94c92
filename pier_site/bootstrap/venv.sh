#!/bin/sh
# Make or refresh .venv from requirements/base.txt (argument: base) or requirements/dev.txt (argument: dev).
# Does nothing when .venv is in sync already. What a developer's .venv has beyond base.txt stays.
set -eu

kind=${1:?usage: venv.sh base|dev}
cd "$(dirname "$0")/../.."
tool_dir=.cache/uv

say() { echo "pier: $*"; }

fail() {
    say "$*" >&2
    exit 2
}

digest() {
    if command -v sha256sum >/dev/null; then sha256sum "$1" | cut -d' ' -f1; else shasum -a 256 "$1" | cut -d' ' -f1; fi
}

stamp() { cat ".venv/.pier-$1" 2>/dev/null || true; }

venv_works() { .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; }

# Any Python that runs will do here: it only fetches uv. A pyenv shim may exist and fail, so each is tried.
pythons() {
    for candidate in python3 python /usr/bin/python3 /usr/local/bin/python3 "$HOME"/.pyenv/versions/3*/bin/python3; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 8))' 2>/dev/null; then echo "$candidate"; fi
    done
}

find_uv() {
    for candidate in uv "$HOME/.local/bin/uv" "$tool_dir/bin/uv" "$HOME"/.pyenv/versions/*/bin/uv; do
        if "$candidate" --version >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
}

install_uv() {
    say "installing uv in $tool_dir: it makes the virtual environment from the locked requirements" >&2
    mkdir -p .cache
    for python in $(pythons); do
        rm -rf "$tool_dir"
        if "$python" -m venv "$tool_dir" >.cache/uv.log 2>&1 &&
            "$tool_dir/bin/python" -m pip install --quiet uv >>.cache/uv.log 2>&1; then
            return
        fi
        rm -rf "$tool_dir"
        if "$python" -m pip install --quiet --target "$tool_dir" uv >>.cache/uv.log 2>&1; then return; fi
    done
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && [ "${1:-}" != again ]; then
        say "installing python3-venv with apt-get: uv is installed with it" >&2
        { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv; } >.cache/apt.log 2>&1 ||
            fail "apt-get could not install python3-venv; see .cache/apt.log"
        install_uv again
        return
    fi
    fail "uv is missing and no python3 here could install it (see .cache/uv.log): https://docs.astral.sh/uv/getting-started/"
}

make_venv() {
    say "making .venv with $($uv --version | cut -d' ' -f1,2): Pier Site and what it needs live there"
    rm -rf .venv
    # The version of .python-version, any that is new enough, one that is not on PATH; only then one from the network.
    if "$uv" venv --quiet --no-python-downloads .venv 2>/dev/null; then return; fi
    for python in '>=3.12' $(pythons); do
        rm -rf .venv
        "$uv" venv --quiet --no-python-downloads --no-config --python "$python" .venv 2>/dev/null || continue
        if venv_works; then return; fi
    done
    rm -rf .venv
    "$uv" venv --quiet .venv ||
        fail "no Python 3.12 or newer here, and none could be downloaded: install one (pyenv install 3.13), then try again"
}

base=$(digest requirements/base.txt)
dev=$(digest requirements/dev.txt)
if venv_works; then
    # dev.txt holds all of base.txt: both are made by one `make lock`.
    if [ "$(stamp dev)" = "$dev" ]; then exit 0; fi
    if [ "$kind" = base ] && [ "$(stamp base)" = "$base" ]; then exit 0; fi
fi

uv=$(find_uv)
if [ -z "$uv" ]; then
    install_uv
    uv=$(find_uv)
    [ -n "$uv" ] || fail "uv was installed in $tool_dir but does not run; see .cache/uv.log"
fi
# A company's certificate authority is in the system's store, not in uv's own; its package index is in pip's settings.
export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}"
if [ -n "${PIP_INDEX_URL:-}" ] && [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then export UV_DEFAULT_INDEX="$PIP_INDEX_URL"; fi

venv_works || make_venv
say "installing requirements/$kind.txt in .venv: it is not in sync with the lock"
how=sync
if [ "$kind" = base ] && [ -n "$(stamp dev)" ]; then how='install -r'; fi
# shellcheck disable=SC2086 # two words on purpose
"$uv" pip $how "requirements/$kind.txt" --quiet --require-hashes --compile-bytecode --python .venv/bin/python ||
    fail "the packages of requirements/$kind.txt could not be installed; the lines above say why"
if [ "$kind" = dev ]; then echo "$dev" >.venv/.pier-dev; fi
echo "$base" >.venv/.pier-base
