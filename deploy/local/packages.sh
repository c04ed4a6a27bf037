#!/bin/sh
# Install Debian packages without letting them start their services. Run as root: packages.sh PACKAGE...
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
saved=$policy.before-scandock

restore() {
    rm -f "$policy"
    if [ -e "$saved" ] || [ -L "$saved" ]; then mv "$saved" "$policy"; fi
}

if [ ! -e "$saved" ] && [ -e "$policy" ]; then mv "$policy" "$saved"; fi
trap restore EXIT
trap 'exit 1' HUP INT TERM
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

# One unreachable source of somebody's list does not matter, if the packages are found.
apt-get update -q -o DPkg::Lock::Timeout=300 || echo "apt-get update had errors; going on with the lists there are" >&2
apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@" </dev/null

# Nor at the next boot: these are ours to start.
if [ -d /run/systemd/system ]; then
    for unit in rabbitmq-server postgresql; do
        case " $* " in *" $unit "*) systemctl disable -q "$unit" || true ;; esac
    done
fi
