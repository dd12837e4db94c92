# Puts an agent below /opt/pier, inside the sandbox, as root; nothing else of the sandbox changes but the programs that
# the distribution's packages bring where they are missing. What to do comes in the environment, see installing.py.
set -eu
prefix=/opt/pier
build=$prefix/.build
# What the task sets for its own Node and Python is not meant for the agent's.
unset NODE_OPTIONS PYTHONPATH PYTHONHOME VIRTUAL_ENV NPM_CONFIG_REGISTRY NPM_CONFIG_PREFIX npm_config_prefix \
  NPM_CONFIG_USERCONFIG npm_config_userconfig NPM_CONFIG_GLOBALCONFIG npm_config_globalconfig UV_PYTHON \
  UV_SYSTEM_PYTHON UV_CONSTRAINT UV_OVERRIDE UV_INDEX UV_INDEX_URL UV_FIND_LINKS UV_OFFLINE UV_NO_BINARY
export HOME=$build/home TMPDIR=$build/tmp
mkdir -p "$HOME" "$TMPDIR" $prefix/bin
cd $build

fail() {
  echo "pier: $*" >&2
  exit 90
}

package_of() {
  case $1 in
    node) echo nodejs ;;
    rg) echo ripgrep ;;
    ps) if [ "$manager" = rpm ]; then echo procps-ng; else echo procps; fi ;;
    update-ca-certificates) echo ca-certificates ;;
    *) echo "$1" ;;
  esac
}

add_packages() {
  echo "pier: adding packages:$names"
  case $manager in
    apt)
      lists=$(ls /var/lib/apt/lists 2>/dev/null | grep -v -e partial -e lock -e auxfiles) || lists=
      DEBIAN_FRONTEND=noninteractive
      export DEBIAN_FRONTEND
      apt-get update -qq
      apt-get install -y -qq --no-install-recommends $names
      apt-get clean
      [ -n "$lists" ] || rm -rf /var/lib/apt/lists/*
      ;;
    apk) apk add --no-cache $names ;;
    rpm) "$(command -v dnf || command -v microdnf || command -v yum)" install -y $names ;;
  esac
}

manager=none
if command -v apt-get >/dev/null 2>&1; then manager=apt
elif command -v apk >/dev/null 2>&1; then manager=apk
elif command -v dnf >/dev/null 2>&1 || command -v microdnf >/dev/null 2>&1 || command -v yum >/dev/null 2>&1; then
  manager=rpm
fi

need_programs() {
  missing= names=
  for program; do
    if ! command -v "$program" >/dev/null 2>&1; then
      missing="$missing $program"
      names="$names $(package_of "$program")"
    fi
  done
  [ -n "$missing" ] || return 0
  [ "$PIER_ADDS_PACKAGES" = 1 ] || fail "$PIER_AGENT needs$missing: install that on this machine"
  [ $manager != none ] || fail "$PIER_AGENT needs$missing, and the image has no package manager that is known here"
  add_packages || fail "the packages$names could not be installed; $PIER_AGENT needs them"
}

# The program that runs an agent's script is named by its path: PATH belongs to the task.
launch() {
  [ -e "$2/$1" ] || fail "$PIER_AGENT was installed, but has no program $1"
  target=$(readlink -f "$2/$1")
  [ -x "$target" ] || chmod +x "$target"
  first=$(head -c 256 "$target" | tr -d '\000' | head -n 1)
  case $first in
    '#!'*env*' node') line="exec '$node' '$target'" ;;
    '#!'*env*' node '*) line="exec '$node' ${first#* node } '$target'" ;;
    '#!'"$prefix"/*python*) line="exec '${first#??}' -E -s -u '$target'" ;;
    *) line="exec '$target'" ;;
  esac
  printf '#!/bin/sh\n%s "$@"\n' "$line" >"$prefix/bin/$1"
  chmod 755 "$prefix/bin/$1"
}

node=$prefix/node/bin/node
if [ "$PIER_METHOD" = npm ]; then
  if [ $manager = apk ]; then
    need_programs node
    node=$(command -v node)
    major=$("$node" -p 'process.versions.node.split(".")[0]')
    [ "$major" -ge "$PIER_NODE" ] ||
      fail "$PIER_AGENT needs Node $PIER_NODE, and this Alpine has Node $major: use a newer Alpine or an image with glibc"
  else
    "$node" --version >/dev/null ||
      fail "Node does not run in this image: it needs glibc 2.28 or newer and libstdc++"
  fi
fi
need_programs $PIER_PROGRAMS

find_python() {
  UV_PYTHON_DOWNLOADS=never "$uv" python find --no-project --no-config --system ">=$PIER_PYTHON" 2>/dev/null
}

case $PIER_METHOD in
  npm)
    scripts=--ignore-scripts
    [ "$PIER_RUNS_SCRIPTS" = 1 ] && scripts=--foreground-scripts
    PATH=${node%/*}:$PATH "$node" $build/npm/bin/npm-cli.js install --global --prefix $prefix/npm $scripts \
      --no-audit --no-fund --no-update-notifier --cache $build/cache --loglevel=warn $PIER_PACKAGES
    programs=$prefix/npm/bin
    ;;
  uv)
    uv=$build/uv/uv
    export UV_CACHE_DIR=$build/cache UV_LINK_MODE=copy UV_NO_CONFIG=1 UV_PYTHON_INSTALL_DIR=$prefix/python
    if ! python=$(find_python); then
      echo "pier: the image has no Python $PIER_PYTHON or newer; fetching one"
      wanted=3.12
      [ "${PIER_PYTHON#3.}" -le 12 ] || wanted=$PIER_PYTHON
      "$uv" python install --no-bin "$wanted" || fail "$PIER_AGENT needs Python $PIER_PYTHON or newer. The image has none," \
        "and none could be fetched: use an image with Python, or set UV_PYTHON_INSTALL_MIRROR to a mirror of its builds"
      python=$("$uv" python find --no-project --managed-python "$wanted")
    fi
    environment=$prefix/tools/$PIER_AGENT
    "$uv" venv --no-project --python "$python" "$environment"
    if [ -f $build/requirements.txt ]; then
      set -- --require-hashes -r $build/requirements.txt
    else
      set -- $PIER_PACKAGES
    fi
    "$uv" pip install --python "$environment/bin/python" --compile-bytecode "$@"
    programs=$environment/bin
    ;;
  script)
    HOME=$prefix/home
    mkdir -p "$HOME"
    sh $build/script.sh
    programs=$PIER_BIN_FOLDER
    ;;
esac
for cli in $PIER_CLIS; do launch "$cli" "$programs"; done
if [ -f $build/commands.sh ]; then sh -eu $build/commands.sh; fi
# Agents need not run as root.
chmod -R a+rX $prefix
rm -rf $build
