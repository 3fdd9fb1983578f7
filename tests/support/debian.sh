# shellcheck shell=sh
# Packages of Debian and Ubuntu for the set-up steps, which read this file with `.`. No other file runs apt-get.
#
#   install_packages PACKAGE…       installs them; only root can
#   need WHAT CHECK PACKAGE…        installs them if the command CHECK fails; if it still fails, ends the step with one line
#   need_python                     python3 with venv
#   renew_lists                     apt-get update; only root can
#   unpack ROOT LIB PACKAGE…        unpacks them in ROOT, and in LIB the libraries that they need and the machine lacks:
#                                   nothing is installed, no service is started. A user can too, given package lists
#   complaint FILE                  the last error in FILE, or where to look
#
# They print what apt-get prints, on standard error; `need` writes it to the file $log.

# Package lists may be missing or old: they are renewed if a package cannot be downloaded otherwise. An
# unreachable list of another repository does not stop an installation.
install_packages() {
    may_install || return 1
    under_lock install_or_renew "$@" >&2
}

may_install() {
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null
}

install_or_renew() {
    apt_install "$@" || { apt-get -q update && apt_install "$@"; }
}

# 300 s for another apt-get that is at work.
apt_install() {
    DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@"
}

# One step at a time on the machine: apt-get itself waits for dpkg's lock, but not for that of the
# package lists. Within 900 s each earlier step has finished. The lock is not inherited by processes
# that the packages start.
under_lock() {
    (
        flock -w 900 8 || exit 1
        "$@" 8<&-
    ) 8</var/lib/dpkg
}

need() {
    what=$1 check=$2
    shift 2
    if "$check"; then return 0; fi
    if may_install; then
        echo "installing $* (apt-get)" >&2
        # shellcheck disable=SC2154 # the step has set it
        install_packages "$@" >>"$log" 2>&1 || true # the check says
        if "$check"; then return 0; fi
        echo "setup: $what is missing, and apt-get install $* failed ($(complaint "$log"))" >&2
    else
        echo "setup: $what is missing; as root on Debian or Ubuntu: apt-get install $*" >&2
    fi
    exit 1
}

need_python() {
    need 'python3 (3.10 or newer) with venv' has_python python3 python3-venv
}

# Debian's python3 has `venv` without `ensurepip`: only the second proves that a virtual environment can be made.
has_python() {
    python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

unpack() {
    unpack_once "$@" >&2 && return
    renew_lists # see install_packages
    unpack_once "$@" >&2
}

renew_lists() {
    may_install && under_lock apt-get -q update >&2
}

unpack_once() {
    root=$1 lib=$2
    shift 2
    rm -rf "$root" "$lib" && mkdir -p "$root/packages" "$lib/packages" || return 1
    download "$root/packages" "$@" || return 1
    # shellcheck disable=SC2046 # one word a package
    download "$lib/packages" $(missing_libraries "$@") || return 1
    for package in "$root"/packages/*.deb; do
        dpkg -x "$package" "$root" || return 1
    done
    for package in "$lib"/packages/*.deb; do
        [ ! -f "$package" ] || dpkg -x "$package" "$lib/root" || return 1
    done
    [ ! -d "$lib/root" ] || find "$lib/root" -name '*.so*' -exec mv -f {} "$lib" \; || return 1
    rm -rf "$root/packages" "$lib/packages" "$lib/root"
}

download() {
    (cd "$1" && shift && { [ $# -eq 0 ] || apt-get -q download "$@"; })
}

# Packages that the given packages depend on, transitively, and that are not installed.
missing_libraries() {
    missing=' '
    add_missing "$@"
    echo "$missing"
}

add_missing() {
    for library in $(apt-cache depends --important "$@" | sed -nE 's/^ *(Pre)?Depends: (lib[^ ]*)$/\2/p'); do
        case $missing in *" $library "*) continue ;; esac
        dpkg-query -W -f '${db:Status-Status}' "$library" 2>/dev/null | grep -qx installed && continue
        missing="$missing$library "
        add_missing "$library"
    done
}

complaint() {
    said=$(grep -iE '^E:|error|cannot|not found' "$1" | tail -n 1)
    echo "${said:-see $1}"
}
