/// Shell text by which a service step shows that what runs was started from the files that were verified.
///
/// The release step's check tells the moment after which a process must have started, as the kernel counts
/// it (`FLEET_TOLD_TREE`: boot id, clock ticks, directory). Every process of a unit's control group must be
/// younger. Whoever listens where the smoke tests connect to must be of the unit, or younger than the files;
/// an older process that works in the release's directory is a worker that has survived its restart.
/// What cannot be looked at is said (`unknown=`), never taken for good.
enum ProcessProof {
    /// `age PID`: whether a process is `young`, `old`, or nothing of that can be known.
    static let functions = #"""
        tree_boot= tree_tick= tree_dir=
        read -r tree_boot tree_tick tree_dir <<END
        ${FLEET_TOLD_TREE:-}
        END
        boot=
        { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
        stat_of() {
            s=
            { IFS= read -r s <"/proc/$1/stat"; } 2>/dev/null
            [ -n "$s" ] || return 1
            s=${s##*) }
        }
        age() {
            [ -n "$tree_tick" ] && [ "$tree_tick" != 0 ] && [ -n "$boot" ] || return 0
            [ "$boot" = "$tree_boot" ] || { echo young; return; }
            stat_of "$1" || return 0
            set -- $s
            if [ "${20}" -ge "$tree_tick" ]; then echo young; else echo old; fi
        }
        # What processes call themselves and their directories is theirs: one line of it, whatever it says.
        plain() { printf '%s' "$1" | LC_ALL=C tr '\000-\037\177-\377' '?'; }
        who() { c=; { read -r c <"/proc/$1/comm"; } 2>/dev/null; echo "process $1${c:+ ($(plain "$c"))}"; }
        # inside PLACE: whether a path, links resolved, is in the release's directory.
        inside() {
            [ -n "$1" ] || return 1
            place=$1
            [ ! -d "$place" ] || place=$(cd -P "$place" 2>/dev/null && pwd) || return 1
            case $place/ in "$tree_dir"/*) return 0 ;; esac
            [ ! -d "${1%/*}" ] || case $(cd -P "${1%/*}" 2>/dev/null && pwd)/ in "$tree_dir"/*) return 0 ;; esac
            return 1
        }
        # Whether a process of the unit has to do with the release at all: where it works, what it was started with,
        # or what the unit says of these.
        of_release() {
            [ -n "$tree_dir" ] || return 0
            inside "$(readlink "/proc/$1/cwd" 2>/dev/null)" && return
            place=$(fact WorkingDirectory)
            case $place in '!'* | -*) place=${place#?} ;; esac
            inside "$place" && return
            # Arguments are words here, and no patterns.
            set -f
            for place in $(fact ExecStart | tr ' ' '\n' | sed -n 's/^path=//p; s/^argv\[\]=//p; /^\//p') \
                $(tr '\000' '\n' <"/proc/$1/cmdline" 2>/dev/null | sed -n 's/^[^ ]*=//; /^\//p')
            do
                inside "$place" && { set +f; return; }
            done
            set +f
            return 1
        }
        unit_pids() {
            g=$(fact ControlGroup)
            [ -n "$g" ] || return 1
            for d in "/sys/fs/cgroup$g" "/sys/fs/cgroup/systemd$g" "/sys/fs/cgroup/unified$g"; do
                [ -e "$d/cgroup.procs" ] || continue
                find "$d" -name cgroup.procs -exec cat {} + 2>/dev/null
                return
            done
            return 1
        }
        # A program that only asks a daemon, or another machine, to run what the service is: that runs elsewhere.
        asks_others() {
            c=
            { read -r c <"/proc/$1/comm"; } 2>/dev/null
            case $c in
            docker | docker-* | docker.io | podman | podman-* | nerdctl | ctr | crictl | machinectl | systemd-nspawn | \
                lxc | lxc-* | incus | kubectl | ssh | sudo | su) ;;
            *) return 1 ;;
            esac
        }
        # The systemd service that a process belongs to, if it is one (cgroups(7)).
        unit_of() {
            [ "$FLEET_CONTROL" = systemctl ] || return 0
            sed -n 's,.*/\([^/]*\.service\)\(/.*\)*$,\1,p' "/proc/$1/cgroup" 2>/dev/null | grep -v '^user@' | head -n 1
        }
        # The inodes of sockets that listen on a port, at an address or at all of them (proc(5), net/tcp).
        listening() {
            port=$(printf %04X "$2")
            case $1 in
            0.0.0.0) at='0100007F 00000000 0000000000000000FFFF00000100007F 00000000000000000000000000000000' ;;
            localhost) at='0100007F 00000000 0000000000000000FFFF00000100007F 00000000000000000000000001000000 00000000000000000000000000000000' ;;
            ::1) at='00000000000000000000000001000000 00000000000000000000000000000000' ;;
            *[!0-9.]* | *.*.*.*.*) return 1 ;;
            *.*.*.*)
                hex=$(IFS=.; set -- $1; printf %02X%02X%02X%02X "$4" "$3" "$2" "$1")
                at="$hex 00000000 0000000000000000FFFF0000$hex 00000000000000000000000000000000" ;;
            *) return 1 ;;
            esac
            awk -v at="$at" -v port="$port" '
                BEGIN { n = split(at, a, " "); for (i = 1; i <= n; i++) want[a[i] ":" port] = 1 }
                $4 == "0A" && ($2 in want) { print $10 }' /proc/net/tcp /proc/net/tcp6 2>/dev/null | sort -u
        }
        # Who has a socket open.
        holders() {
            # By the link itself: a process may have a file open whose name looks like anything.
            if find /proc/self/fd -lname x >/dev/null 2>&1; then
                find /proc/[0-9]*/fd -lname "socket:\\[$1\\]" 2>/dev/null | cut -d/ -f3 | sort -u
                return
            fi
            ls -l /proc/[0-9]*/fd 2>/dev/null | awk -v socket="socket:[$1]" '
                /^\/proc\// { split($0, p, "/"); pid = p[3] }
                $NF == socket { print pid }' | sort -u
        }

        """#

    /// The check itself, behind ``functions`` and the service step's own.
    static let check = #"""
        service is-active "$FLEET_SERVICE" >/dev/null 2>&1 || { told; fail "E_SERVICE $FLEET_SERVICE is not active any more"; }
        pids= reason=
        if [ "$FLEET_CONTROL" = systemctl ]; then
            facts || fail "E_SERVICE systemd cannot be asked about $FLEET_SERVICE: $facts"
            case $(fact ActiveState) in
            active | reloading) ;;
            *) told; fail "E_SERVICE $FLEET_SERVICE is $(fact ActiveState) ($(fact SubState))" ;;
            esac
            [ "$(fact NeedDaemonReload)" != yes ] ||
                fail "E_SERVICE the unit file of $FLEET_SERVICE has changed, and what runs is the old one: systemctl daemon-reload"
            seen="$(fact MainPID)/$(fact NRestarts)"
            [ -z "$FLEET_KEPT" ] || [ "$FLEET_KEPT" = "$seen" ] || {
                told
                fail "E_SERVICE $FLEET_SERVICE does not stay up: its process was ${FLEET_KEPT%/*}, and is ${seen%/*} after $(fact NRestarts) restarts by systemd"
            }
            echo "keep $seen"
            pids=$(unit_pids) || pids=
            [ -n "$pids" ] || reason="no process of $FLEET_SERVICE can be looked at"
        else
            reason="$FLEET_CONTROL does not say which processes are those of $FLEET_SERVICE"
        fi
        known=
        for p in $pids; do
            case $(age "$p") in
            young)
                if asks_others "$p"; then
                    [ -n "$known" ] || reason="$(who "$p") of $FLEET_SERVICE only asks for what runs elsewhere"
                elif of_release "$p"; then [ -n "$known" ] || known=yes
                elif [ -z "$known" ]; then
                    reason="$(who "$p") of $FLEET_SERVICE neither works in $tree_dir nor was started with anything there"
                fi ;;
            old)
                case $FLEET_STATE/$(fact KillMode)/$p in
                # What a restart leaves running is not the service's main process.
                restarted/process/$(fact MainPID) | restarted/none/$(fact MainPID) | restarted/control-group/* | restarted/mixed/* | restarted//*)
                    fail "E_PROCESS $(who "$p") of $FLEET_SERVICE was started before the files of this release were there" ;;
                *) reason="$(who "$p") of $FLEET_SERVICE was started before the files of this release were there" known=no ;;
                esac
                break ;;
            *) ! [ -e "/proc/$p" ] || { reason="it is not known when the files were written" known=no; break; } ;;
            esac
        done
        for place in $FLEET_LISTENS; do
            port=${place##*:} host=${place%:*}
            inodes=$(listening "$host" "$port") || {
                known=no reason="who answers on $place cannot be seen from this host"
                continue
            }
            [ -n "$inodes" ] || { known=no reason="nobody on this host listens on $place itself"; continue; }
            for inode in $inodes; do
                owners=$(holders "$inode")
                [ -n "$owners" ] || { known=no reason="who listens on $place cannot be seen"; continue; }
                for p in $owners; do
                    case " $(echo $pids) " in *" $p "*) continue ;; esac
                    # A socket that systemd holds is handed to the unit that was started for it.
                    [ "$p" != 1 ] || [ -z "$pids" ] || continue
                    there=$(readlink "/proc/$p/cwd" 2>/dev/null)
                    case $(age "$p") in
                    old)
                        # Another unit's process is that unit's; one of no unit is a worker that has been left.
                        case $(unit_of "$p")$FLEET_STRICT in yes) case $there/ in "${tree_dir:-/nowhere}"/*)
                            fail "E_PROCESS $(who "$p") answers on $place, works in $(plain "$there"), and was started before the files of this release were there" ;;
                        esac ;; esac
                        known=no reason="$place is answered by $(who "$p"), which is older than this release" ;;
                    young)
                        case $there/ in
                        "${tree_dir:-/nowhere}"/*) [ "$known" = no ] || known=yes ;;
                        *) known=no reason="$place is answered by $(who "$p"), which works in $(plain "${there:-another directory}")" ;;
                        esac ;;
                    *) known=no reason="it is not known when the files were written" ;;
                    esac
                done
            done
        done
        [ "$known" = yes ] || echo "unknown=${reason:-no process was found}"
        exit 0
        """#
}
