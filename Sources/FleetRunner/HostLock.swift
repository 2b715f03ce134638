internal import FleetDigest
public import FleetRollout
public import FleetTransport

/// A host's lock for one environment, as scripts: in `~/.fleet/locks/ENVIRONMENT` of the login
/// account.
///
/// `owner` holds the owner's name, who that is, and since when. It is written complete under another
/// name and claimed with `ln`, which is atomic and never leaves it without an owner. `generation`
/// counts how often the lock was given back or broken: a host whose number is not that of preflight
/// has been changed since by somebody else.
///
/// Behind the owner's name stands the controller's epoch, `NUMBER.MARK`, once a rollout was taken up again; the one
/// that began it has none, as fleets wrote it that knew of no epochs. A host lets a higher number follow a lower one,
/// never the other way round, and every step asks for the whole line: so a controller that was thought dead can start
/// nothing any more on a host that its successor has been to.
public struct HostLock: Sendable {
    let environment: String
    /// The rollout.
    let owner: String
    /// Which of its controllers.
    let epoch: ControllerEpoch
    /// Who that is, for people.
    let description: String
    /// A rollout whose lock may be taken over.
    let adopts: String?
    /// The host, by which one that has the same home directory is told from it; empty for no question.
    let host: String

    /// Describes a lock and who wants it.
    ///
    /// - Parameters:
    ///   - environment: The environment; a safe file name.
    ///   - owner: The rollout that wants it; a safe file name.
    ///   - description: Who that is, for people.
    ///   - adopts: A rollout whose lock may be taken over.
    ///   - epoch: Which of the rollout's controllers wants it.
    ///   - host: The host's name; empty for a lock that steps do not depend on.
    public init(
        environment: String,
        owner: String,
        description: String,
        adopts: String? = nil,
        epoch: ControllerEpoch = .first,
        host: String = ""
    ) {
        self.epoch = epoch
        self.host = host
        self.environment = environment
        self.owner = owner
        self.description = description
        self.adopts = adopts
    }

    private static let prologue = #"""
        d=$HOME/.fleet/locks/$FLEET_ENVIRONMENT
        now=0 o= who= since= on=
        { read -r now <"$d/generation"; } 2>/dev/null
        # A file that a crash has emptied is no generation, and not the first one either.
        case $now in '' | *[!0-9]*) now=broken ;; esac
        { { read -r o; read -r who; read -r since; read -r on; } <"$d/owner"; } 2>/dev/null
        # A file that says nothing, as a power cut may leave it, is somebody's lock all the same.
        [ -n "$o" ] || [ ! -e "$d/owner" ] || o=unknown who='its file is empty'
        # The rollout, and which of its controllers.
        r=${o%% *} e=
        case $o in *' '*) e=${o#* } ;; esac
        claim=$FLEET_OWNER${FLEET_EPOCH:+ $FLEET_EPOCH}
        # Two hosts with one home directory would take each other's results for their own.
        alone() {
            case ${FLEET_LOCK_HOST:+$on} in '' | "$FLEET_LOCK_HOST") return ;; esac
            echo "E_SHARED_HOME $FLEET_LOCK_HOST and $on have the same home directory ($HOME), or are one machine: what one of them has done would be taken for the other's. Give each a home of its own, or name one of them only"
            exit 1
        }
        held() {
            echo "E_LOCKED $FLEET_ENVIRONMENT is locked by rollout $r ($who, since $since)"
            exit 1
        }
        # Whether this controller of the same rollout may follow the one that was here.
        follows() {
            n=${e%%.*}
            [ "${FLEET_EPOCH%%.*}" -gt "${n:-1}" ] 2>/dev/null
        }
        superseded() {
            echo "E_SUPERSEDED ${n:-1} rollout $r was taken up by another controller ($who, since $since)"
            exit 1
        }
        written() {
            new=$d/owner.$FLEET_OWNER${FLEET_EPOCH:+.$FLEET_EPOCH}
            printf '%s\n%s\n%s\n%s\n' "$claim" "$FLEET_WHO" "$(date -u '+%Y-%m-%d %H:%M UTC')" "$FLEET_LOCK_HOST" >"$new"
        }
        witness() {
            [ -z "${FLEET_WITNESS:-}" ] || (umask 077
                echo "$FLEET_WITNESS" >"$d/witness.new" && mv "$d/witness.new" "$d/witness")
        }
        raise() {
            # Behind a broken one comes one that none has been: the time is above every count.
            case $now in broken) now=$(date +%s) ;; esac
            echo $((now + 1)) >"$d/generation.new" && mv "$d/generation.new" "$d/generation"
        }

        """#

    private func script(_ text: String, _ more: [EnvironmentVariable] = []) -> Script {
        Script(
            Self.prologue + text,
            environment: [
                EnvironmentVariable("FLEET_ADOPTS", adopts ?? ""),
                EnvironmentVariable("FLEET_ENVIRONMENT", environment),
                EnvironmentVariable(
                    "FLEET_EPOCH",
                    epoch == .first ? "" : "\(epoch.number).\(epoch.mark)"
                ),
                EnvironmentVariable("FLEET_OWNER", owner),
                EnvironmentVariable("FLEET_WHO", description),
                EnvironmentVariable("FLEET_LOCK_HOST", host),
            ] + more
        )
    }

    /// The least room that must be left in the login directory, in KiB, and the fewest inodes: a step
    /// whose output cannot be written cannot be accounted for.
    private static let leastKiB = 32 << 10
    private static let leastInodes = 1_000

    /// Read-only: refuses a host that is another's, or has no room to record what happens on it, and
    /// tells the generation, what tells this host from others, and of which record it was told last.
    var question: Script {
        script(
            HostTools.setsid + #"""
                case $r in '' | "$FLEET_OWNER" | "$FLEET_ADOPTS") echo "generation=$now" ;; *) held ;; esac
                [ -d "$HOME" ] || { echo "E_HOME $HOME, the account's home directory, is not there"; exit 1; }
                [ -w "$HOME" ] && [ -x "$HOME" ] || {
                    echo "E_READONLY $HOME cannot be written to by $(id -un 2>/dev/null || id -u)"; exit 1; }
                for p in "$HOME/.fleet" "$HOME/.fleet/runs" "$HOME/.fleet/locks"; do
                    if [ ! -e "$p" ] && [ ! -h "$p" ]; then break; fi
                    [ -d "$p" ] && [ -w "$p" ] && [ -x "$p" ] || {
                        echo "E_HOME $p is no directory that $(id -un 2>/dev/null || id -u) can write to"; exit 1; }
                done
                [ -n "$fleet_setsid" ] || {
                    echo "E_SETSID the host has neither setsid, busybox, perl nor python3: a step could not be ended for certain"
                    exit 1
                }
                k= i=
                { read -r _; read -r _ _ _ k _; } <<END
                $(df -Pk "$HOME" 2>/dev/null)
                END
                { read -r _; read -r _ _ _ i _; } <<END
                $(df -Pi "$HOME" 2>/dev/null)
                END
                case $k in '' | *[!0-9]*) ;; *) [ "$k" -ge \#(Self.leastKiB) ] || {
                    echo "E_DISK only $k KiB are free in $HOME"; exit 1; } ;;
                esac
                case $i in '' | *[!0-9]* | 0) ;; *) [ "$i" -ge \#(Self.leastInodes) ] || {
                    echo "E_DISK only $i inodes are free in $HOME"; exit 1; } ;;
                esac
                m= b=
                { read -r m </etc/machine-id; read -r b </proc/sys/kernel/random/boot_id; } 2>/dev/null
                [ -z "$m" ] || echo "identity=$m:$HOME"
                echo "boot=$b"
                w=
                { read -r w <"$d/witness"; } 2>/dev/null
                [ -z "$w" ] || echo "witness=$w"
                echo "time=$(date +%s)"
                """#
        )
    }

    /// Takes the lock if nobody has, or has changed the host since preflight; taking it twice is
    /// taking it once.
    ///
    /// - Parameters:
    ///   - generation: What preflight found; nil if nothing was asked before.
    ///   - witness: Where the journal is, to be kept on the host; empty for nothing.
    ///   - record: What the host keeps until the rollout has come to its end.
    /// - Returns: A script for the login account.
    public func taking(
        generation: String?,
        witness: String = "",
        record: HostRecord? = nil
    ) -> Script {
        script(
            #"""
            case $r in '') ;; "$FLEET_OWNER" | "$FLEET_ADOPTS") alone ;; esac
            [ "$o" != "$claim" ] || exit 0
            if [ "$r" = "$FLEET_OWNER" ]; then
                follows || superseded
                umask 077
                written && mv "$new" "$d/owner" || { echo "E_LOCK cannot write to $d"; exit 1; }
                witness
                exit
            fi
            [ -z "$FLEET_GENERATION" ] || [ "$now" = "$FLEET_GENERATION" ] || {
                echo "E_CHANGED another rollout was here since preflight"
                exit 1
            }
            umask 077
            mkdir -p "$d" || { echo "E_LOCK cannot write to $d"; exit 1; }
            if [ -n "$FLEET_RECORD" ]; then
                run=$HOME/.fleet/runs/$FLEET_OWNER
                mkdir -p "$run" && printf '%s\n' "$FLEET_RECORD" >"$run/record" ||
                    { echo "E_LOCK cannot write to $run"; exit 1; }
            fi
            written || { echo "E_LOCK cannot write to $d"; exit 1; }
            if [ -n "$r" ] && [ "$r" = "$FLEET_ADOPTS" ]; then
                mv "$new" "$d/owner" && witness
                exit
            fi
            ln "$new" "$d/owner" 2>/dev/null
            taken=$?
            rm -f "$new"
            [ $taken -ne 0 ] || { witness; exit 0; }
            { { read -r o; read -r who; read -r since; read -r on; } <"$d/owner"; } 2>/dev/null
            r=${o%% *}
            [ "$r" != "$FLEET_OWNER" ] || alone
            held
            """#,
            [
                EnvironmentVariable("FLEET_GENERATION", generation ?? ""),
                EnvironmentVariable("FLEET_WITNESS", witness),
                EnvironmentVariable(
                    "FLEET_RECORD",
                    record.map { String(decoding: CanonicalJSON.encode($0), as: UTF8.self) } ?? "",
                    isExported: false
                ),
            ]
        )
    }

    /// Read-only: what the host has kept of rollouts of this environment that it holds no end of.
    ///
    /// A line `record ROLLOUT JSON` for each, then `step ROLLOUT KEY STATUS` with an empty status for
    /// what has no result; and `epoch ROLLOUT NUMBER` for the controller that the host obeys.
    public var records: Script {
        script(
            #"""
            cd "$HOME/.fleet/runs" 2>/dev/null || exit 0
            for run in */record; do
                [ -s "$run" ] || continue
                id=${run%/record}
                printf 'record %s ' "$id"
                cat "$run"
                for p in "$id"/*/pid; do
                    case $p in */switch/pid) continue ;; esac
                    [ -e "$p" ] || continue
                    rc=
                    { read -r rc <"${p%pid}rc"; } 2>/dev/null
                    key=${p%/pid}
                    printf 'step %s %s %s\n' "$id" "${key##*/}" "$rc"
                done
            done
            [ -z "$e" ] || printf 'epoch %s %s\n' "$r" "${e%%.*}"
            exit 0
            """#
        )
    }

    /// Gives the lock back if it is ours.
    ///
    /// - Parameter witness: Where the journal is, to be kept on the host; empty for nothing.
    /// - Returns: A script for the login account.
    public func giving(witness: String = "") -> Script {
        script(
            #"""
            [ "$r" = "$FLEET_OWNER" ] || exit 0
            [ "$o" = "$claim" ] || follows || superseded
            witness
            raise && rm -f "$d/owner"
            """#,
            [EnvironmentVariable("FLEET_WITNESS", witness)]
        )
    }

    /// Makes the host obey this controller of the rollout, and none of those before it, if the lock is the rollout's;
    /// doing it twice is doing it once.
    ///
    /// A lock that is free, or somebody else's, stays as it is: a step finds that out by itself. Prints `step KEY` for
    /// every attempt at a step of the rollout that the host knows of.
    public var takingUp: Script {
        script(
            #"""
            if [ "$r" = "$FLEET_OWNER" ] && [ "$o" != "$claim" ]; then
                follows || superseded
                umask 077
                written && mv "$new" "$d/owner" || { echo "E_LOCK cannot write to $d"; exit 1; }
            fi
            cd "$HOME/.fleet/runs/$FLEET_OWNER" 2>/dev/null || exit 0
            for p in [fr]*-*/; do
                [ ! -d "$p" ] || printf 'step %s\n' "${p%/}"
            done
            exit 0
            """#
        )
    }

    /// Read-only: everything that fleet has left on the host, as `name=value` lines.
    ///
    /// `owner`, `who`, `since` of the lock; `witness`, where the journal was that changed the host
    /// last; `running=ROLLOUT/KEY` for every step that still runs, `unended=ROLLOUT/KEY` for every one
    /// that has no result and does not run, `armed=ROLLOUT` for a dead-man switch, `unwatched=ROLLOUT` for
    /// one that nobody waits at any more: it will not fire.
    public var ledger: Script {
        script(
            RunDirectory.ours + #"""
                printf 'owner=%s\nwho=%s\nsince=%s\n' "$r" "$who" "$since"
                w=
                { read -r w <"$d/witness"; } 2>/dev/null
                printf 'witness=%s\n' "$w"
                cd "$HOME/.fleet/runs" 2>/dev/null || exit 0
                for p in */*/pid; do
                    case $p in */switch/pid) continue ;; esac
                    [ -e "$p" ] && [ ! -s "${p%pid}rc" ] || continue
                    if ours "$p"; then echo "running=${p%/pid}"
                    else echo "unended=${p%/pid}"; fi
                done
                for p in */armed; do
                    [ -e "$p" ] || continue
                    if ours "${p%armed}switch/pid"; then echo "armed=${p%/armed}"
                    else echo "unwatched=${p%/armed}"; fi
                done
                exit 0
                """#
        )
    }

    /// Read-only: prints `owner=`, `who=`, `since=`; no owner if it is free.
    public var status: Script {
        script(
            RunDirectory.ours + #"""
                printf 'owner=%s\nwho=%s\nsince=%s\n' "$r" "$who" "$since"
                for p in "$HOME"/.fleet/runs/"$r"/*/pid; do
                    [ -n "$r" ] && [ -e "$p" ] && [ ! -s "${p%pid}rc" ] || continue
                    ours "$p" && { p=${p%/pid}; echo "running=${p##*/}"; }
                done
                exit 0
                """#
        )
    }

    /// Takes the lock from a known owner, ends what still runs of theirs, and frees it.
    ///
    /// From the first write on, the host refuses every further step of theirs.
    public func breaking(_ known: String) -> Script {
        script(
            RunDirectory.ours + #"""
                [ -n "$r" ] || exit 0
                [ "$r" = "$FLEET_KNOWN" ] || held
                umask 077
                written && mv "$new" "$d/owner" || { echo "E_LOCK cannot write to $d"; exit 1; }
                # Their answer is written before they are ended: it is not taken for one of their own.
                all=
                for p in "$HOME"/.fleet/runs/"$FLEET_KNOWN"/*/pid; do
                    [ -e "$p" ] || continue
                    (set -C; echo fenced >"${p%pid}rc") 2>/dev/null || continue
                    ! ours "$p" || all="$all $pid"
                done
                alive() {
                    for pid in $all; do
                        kill -0 "-$pid" 2>/dev/null || continue
                        # Ended, and only waiting for an init that is slow to collect it.
                        s=
                        { read -r s <"/proc/$pid/stat"; } 2>/dev/null
                        case ${s##*) } in Z* | X*) ;; *) echo "$pid" ;; esac
                    done
                }
                i=0
                while pids=$(alive) && [ -n "$pids" ]; do
                    for pid in $pids; do
                        if [ $i -lt 50 ]; then kill -TERM "-$pid"; else kill -KILL "-$pid"; fi 2>/dev/null
                    done
                    i=$((i + 1))
                    [ $i -lt 100 ] || { echo "E_STUCK processes" $pids "do not end"; exit 1; }
                    sleep 0.1 2>/dev/null || sleep 1
                done
                raise && rm -f "$d/owner"
                """#,
            [EnvironmentVariable("FLEET_KNOWN", known)]
        )
    }
}
