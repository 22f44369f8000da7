#!/bin/sh
# Kernel (proc(5), cgroups(7)): which cgroup /proc/PID/cgroup names for a process that was killed and is not reaped yet.
#
# Guess, written down first: the group that it died in, until its parent has waited for it. So a supervisor that hears of the
#   end can still look there whether the kernel killed for want of memory.
# Seen (Linux 6.18, 2026-12-01): in a version 1 hierarchy the zombie is in the root group, "memory:/", from the moment of its
#   death on. In the version 2 hierarchy it stays where it was ("0::/name").
# So: remember the group while the process lives, and never take a new one from a process that may have ended since.
#
# Needs root, Python 3, and a mounted memory controller of version 1; version 2 is looked at where it is mounted beside it.
# Installs nothing: the kernel is the subject. Makes two empty groups of its own, and removes them. Exits 0 when this is still so, 1 when it has changed, 2 when it can't be tried.
set -eu

v1=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2; exit }' /proc/mounts)
v2=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
[ "$(id -u)" = 0 ] && [ -n "$v1" ] || { echo "needs root and the memory controller of version 1" >&2; exit 2; }

name=$(basename "$(mktemp -d "$v1/finding-zombie-XXXXXX")")
[ -z "$v2" ] || mkdir "$v2/$name"
trap 'rmdir "$v1/$name"; [ -z "$v2" ] || rmdir "$v2/$name"' EXIT

python3 - "$v1/$name" "$v2" "$name" <<'PY'
import os, signal, sys

first, second, name = sys.argv[1:]
ready, say = os.pipe()
child = os.fork()
if child == 0:
    for group in [first] + ([second + "/" + name] if second else []):
        with open(group + "/cgroup.procs", "w") as procs:
            procs.write(str(os.getpid()))
    os.write(say, b"x")
    signal.pause()
os.read(ready, 1)

def groups():
    lines = [line.strip().split(":", 2) for line in open(f"/proc/{child}/cgroup")]
    one = next(path for _, controllers, path in lines if "memory" in controllers.split(","))
    two = next((path for number, _, path in lines if number == "0"), None)
    return one, two

alive = groups()
os.kill(child, signal.SIGKILL)
# Waits for the end and leaves the zombie where it is.
os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
dead = groups()
os.waitpid(child, 0)
print("alive: ", alive)
print("zombie:", dead)
as_seen = alive[0] == "/" + name and dead[0] == "/" and (not second or dead[1] == alive[1] == "/" + name)
sys.exit(0 if as_seen else 1)
PY
