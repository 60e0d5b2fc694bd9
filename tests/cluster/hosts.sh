#!/usr/bin/env bash
# hosts.sh - a small on-prem "cluster" on one Linux machine, for testing
# `ray up` (provider local) and node/network faults, without docker or VMs.
#
# Every host is a network namespace (veth into a bridge that lives in its own
# namespace: nothing is added to the machine's own network), plus PID, mount, UTS
# and IPC namespaces, an overlay root (writes go to a tmpfs), own /tmp, /dev/shm
# and /proc, and a real sshd. PID namespaces make `ray stop` (which ends every
# ray process it can see) safe to run on a host.
#
#   sudo ./hosts.sh up 3        # hosts h1..h3 = 10.200.0.11.. , client c = 10.200.0.2
#   ./hosts.sh add NAME IP      # one more host (elastic join)
#   ./hosts.sh sh h1 'cmd'      # run a command inside a host (nsenter, no ssh)
#   ./hosts.sh client 'cmd'     # run a command in the client host "c"
#   ./hosts.sh link h2 down|up  # partition / heal
#   ./hosts.sh crash h2         # power off: every process of the host dies, link gone
#   ./hosts.sh down             # stop everything this script started
set -euo pipefail
ROOT=${HOSTS_ROOT:-$PWD/.hosts}
PFX=${HOSTS_PREFIX:-rc}          # names of namespaces: rc-sw, rc-h1 ...
NET=${HOSTS_NET:-10.200.0}
RO_BINDS=${HOSTS_RO:-"$PWD/.venv"}   # visible in hosts, read-only
SHARED=${HOSTS_SHARED:-$ROOT/shared}                          # "NFS": /mnt/shared on each host
CPATH=${HOSTS_PATH:-$PWD/.venv/bin}
TMPFS_SIZE=${HOSTS_TMPFS:-2g}
H=$ROOT/hosts

keys() {
  mkdir -p "$ROOT/ssh" "$SHARED" "$H"
  [ -f "$ROOT/ssh/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -f "$ROOT/ssh/id_ed25519"
  [ -f "$ROOT/ssh/host_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -f "$ROOT/ssh/host_ed25519"
}

switch_up() {
  ip netns list | grep -qw "$PFX-sw" && return 0
  ip netns add "$PFX-sw"
  ip -n "$PFX-sw" link set lo up
  ip -n "$PFX-sw" link add br0 type bridge
  ip -n "$PFX-sw" link set br0 up
}

add() {  # NAME IP
  local n=$1 ip=$2 d=$H/$1
  mkdir -p "$d"; rm -f "$d/ready" "$d/pid"
  ip netns add "$PFX-$n"
  ip link add "p-$n" netns "$PFX-sw" type veth peer name eth0 netns "$PFX-$n"
  ip -n "$PFX-sw" link set "p-$n" master br0 up
  ip -n "$PFX-$n" link set lo up
  ip -n "$PFX-$n" addr add "$ip/24" dev eth0
  ip -n "$PFX-$n" link set eth0 up
  echo "$ip" > "$d/ip"
  HOST_NAME=$n HOST_IP=$ip ROOT=$ROOT SHARED=$SHARED RO_BINDS=$RO_BINDS CPATH=$CPATH TMPFS_SIZE=$TMPFS_SIZE \
    setsid ip netns exec "$PFX-$n" unshare --fork --kill-child --pid --mount --uts --ipc \
      bash "$0" __init </dev/null >"$d/log" 2>&1 &
  local up=$! w        # setsid, ip netns exec and unshare all exec: this is unshare's pid
  for w in $(seq 100); do [ -f "$d/ready" ] && break; sleep 0.1; : "$w"; done
  [ -f "$d/ready" ] || { echo "host $n did not start"; cat "$d/log"; return 1; }
  # its only child is PID 1 of the host
  echo "$up" > "$d/unshare.pid"; pgrep -P "$up" > "$d/pid"
  echo "host $n $ip up (init pid $(cat "$d/pid"))"
}

__init() {  # runs as PID 1 of the host
  local n=$HOST_NAME d=$H/$HOST_NAME r b
  mount --make-rprivate /
  mkdir -p "$d/m"; mount -t tmpfs -o "size=$TMPFS_SIZE" tmpfs "$d/m"
  mkdir "$d/m/u" "$d/m/w" "$d/m/root" "$d/m/tmp"; r=$d/m/root
  mount -t overlay overlay -o "lowerdir=/,upperdir=$d/m/u,workdir=$d/m/w" "$r"
  mount -t proc proc "$r/proc"
  mount --rbind /dev "$r/dev"; mount --rbind /sys "$r/sys"
  mount -t tmpfs -o "size=$TMPFS_SIZE" tmpfs "$r/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$r/dev/pts"; mount --bind "$r/dev/pts/ptmx" "$r/dev/ptmx" 2>/dev/null || true
  mount -t tmpfs tmpfs "$r/run"
  mount --bind "$d/m/tmp" "$r/tmp"; chmod 1777 "$r/tmp"
  for b in $RO_BINDS; do mkdir -p "$r$b"; mount --bind "$b" "$r$b"; mount -o remount,bind,ro "$r$b"; done
  mkdir -p "$r/mnt/shared"; mount --bind "$SHARED" "$r/mnt/shared"
  hostname "$n"
  mkdir -p "$r/run/sshd" "$r/root/.ssh"
  cp "$ROOT/ssh/id_ed25519.pub" "$r/root/.ssh/authorized_keys"
  cp "$ROOT/ssh/host_ed25519" "$r/etc/ssh/hk"; chmod 600 "$r/etc/ssh/hk"
  [ "$n" = c ] && { cp "$ROOT/ssh/id_ed25519" "$r/root/.ssh/id_ed25519"; chmod 600 "$r/root/.ssh/id_ed25519"; }
  printf 'export PATH=%s:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin\n' "$CPATH" > "$r/root/.bashrc"
  [ -f "$H/bashrc.extra" ] && cat "$H/bashrc.extra" >> "$r/root/.bashrc"
  [ -f "$H/authorized_keys.extra" ] && cat "$H/authorized_keys.extra" >> "$r/root/.ssh/authorized_keys"
  cp "$r/root/.bashrc" "$r/root/.profile"; rm -f "$r/root/.bash_profile"
  echo "127.0.0.1 localhost" > "$r/etc/hosts"; echo "$HOST_IP $n" >> "$r/etc/hosts"
  printf '%s\n' "ListenAddress $HOST_IP" "HostKey /etc/ssh/hk" "PermitRootLogin yes" "UsePAM no" \
     "StrictModes no" "MaxStartups 100" "MaxSessions 100" "UseDNS no" "AcceptEnv LANG" > "$r/etc/ssh/sshd_config"
  # an ordinary user, as on a cloud image
  chmod 755 "$r/root"; echo 'ubuntu:x:7001:7001::/home/ubuntu:/bin/bash' >> "$r/etc/passwd"; echo 'ubuntu:x:7001:' >> "$r/etc/group"
  echo 'ubuntu:*:19000:0:99999:7:::' >> "$r/etc/shadow"
  mkdir -p "$r/home/ubuntu"; cp -r "$r/root/.bashrc" "$r/root/.profile" "$r/root/.ssh" "$r/home/ubuntu/"; chown -R 7001:7001 "$r/home/ubuntu"
  touch "$d/ready"
  cd "$r"
  # PID 1: bash reaps orphans (ray daemonizes), sshd is its child
  exec env -i HOME=/root USER=root LOGNAME=root SHELL=/bin/bash TERM=xterm PATH="$CPATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
    chroot . /bin/bash -c '/usr/sbin/sshd -D -e & while true; do wait -n || sleep 1; done'
}

run_in() {  # NAME cmd
  local n=$1; shift
  local p; p=$(cat "$H/$n/pid")
  exec nsenter -t "$p" -a -r -w env -i HOME=/root USER=root SHELL=/bin/bash TERM=xterm PATH="$CPATH:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin" \
    bash -c ". /root/.bashrc; cd /root; $*"
}

crash() { local n=$1 d=$H/$1; [ -f "$d/unshare.pid" ] || return 0
  # first, so that nobody hears that connections end; at once, so that the host can be added again
  ip -n "$PFX-sw" link del "p-$n" 2>/dev/null || true
  kill -9 "$(cat "$d/unshare.pid")" 2>/dev/null || true   # --kill-child: PID 1 of the namespace dies, and with it all
  for _ in $(seq 50); do [ -d "/proc/$(cat "$d/pid")" ] || break; sleep 0.1; done
  ip netns del "$PFX-$n" 2>/dev/null || true; rm -f "$d/unshare.pid" "$d/pid" "$d/ready"; }

case ${1:-} in
  up) keys; switch_up; add c "$NET.2"; for i in $(seq "${2:-3}"); do add "h$i" "$NET.$((10+i))"; done ;;
  add) keys; switch_up; add "$2" "$3" ;;
  sh) n=$2; shift 2; run_in "$n" "$@" ;;
  client) shift; run_in c "$@" ;;
  link) ip -n "$PFX-$2" link set eth0 "$3" ;;
  crash) crash "$2" ;;
  __init) __init ;;
  down) for d in "$H"/*/; do crash "$(basename "$d")"; ip netns del "$PFX-$(basename "$d")" 2>/dev/null || true; done; ip netns del "$PFX-sw" 2>/dev/null || true; rm -rf "$H"; mkdir -p "$H" ;;
  ls) for d in "$H"/*/; do echo "$(basename "$d") $(cat "$d/ip") pid=$(cat "$d/pid" 2>/dev/null || echo -)"; done ;;
  *) sed -n '2,20p' "$0"; exit 2 ;;
esac
