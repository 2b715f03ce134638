internal import FleetTransport

/// A dead-man switch as scripts, in the rollout's run directory on the host.
///
/// `armed` becomes `confirmed`, `disarmed` or `fired` by one rename, so one of the three happens, and
/// once. Whoever waits there runs under systemd where we may ask it to, because it outlives every
/// login and every mistake with sessions; else under setsid. With `fired` in the directory the host
/// refuses every further step forward of the rollout (see the host shell), what runs of it is ended,
/// and then the way back begins. It goes back only as long as the host's lock is the rollout's.
extension DeadMan {
    /// The script for a host.
    ///
    /// - Parameters:
    ///   - rollout: The rollout that asks.
    ///   - environment: The environment, which names the lock.
    /// - Returns: A script for the login account.
    func script(rollout: String, environment: String) -> Script {
        var text = RunDirectory.ours + Self.prologue
        var variables = [
            EnvironmentVariable("FLEET_ENVIRONMENT", environment),
            EnvironmentVariable("FLEET_ROLLOUT", rollout),
        ]
        switch self {
        case .arm(_, let back) where back.isEmpty:
            text += Self.unarmed
        case .arm(let milliseconds, let back):
            text += Self.arming
            for (number, step) in back.enumerated() {
                let shell =
                    step.script.becomeUser.map { "sudo -n -u \(ShellWord.quote($0)) -- sh" } ?? "sh"
                let seconds = max(1, step.timeoutMilliseconds / 1000)
                text += "back \(number) \(seconds) \(ShellWord.quote(shell)) "
                text += "\(ShellWord.quote(step.name)) \"$FLEET_BACK_\(number)\"\n"
                variables.append(
                    EnvironmentVariable(
                        "FLEET_BACK_\(number)",
                        step.script.shellText,
                        isExported: false
                    )
                )
            }
            text += HostTools.setsid + Self.starting
            variables.append(
                EnvironmentVariable("FLEET_SECONDS", String(max(1, milliseconds / 1000)))
            )
        case .confirm:
            text += Self.confirming
        case .disarm(let other):
            if let other { variables[1] = EnvironmentVariable("FLEET_ROLLOUT", other) }
            text += Self.disarming
        }
        return Script(text, environment: variables)
    }

    private static let prologue = #"""
        umask 077
        run=$HOME/.fleet/runs/$FLEET_ROLLOUT
        lock=$HOME/.fleet/locks/$FLEET_ENVIRONMENT/owner
        cd "$run" 2>/dev/null || { mkdir -p "$run" && cd "$run" || exit 1; }

        """#

    private static let unarmed = #"""
        : >unarmed || exit 1
        echo "nothing ran here before: there is nothing to go back to"
        """#

    private static let arming = #"""
        [ ! -e fired ] || { echo "the dead-man switch has fired"; exit 1; }
        rm -rf switch confirmed disarmed
        mkdir switch || exit 1
        back() {
            printf '%s\n' "$5" >"switch/$1.sh" || exit 1
            printf 'step %s %s "%s"\n' "$1" "$2" "$3" >>switch/steps || exit 1
            printf '%s\n' "$4" >"switch/$1.name" || exit 1
        }

        """#

    private static let starting =
        "cat >switch/ours <<'END' || exit 1\n" + RunDirectory.ours + "END\n"
            + #"""
            cat >switch/watch <<'END' || exit 1
            cd "$1" || exit 1
            . ./switch/ours
            begun() {
                s= b=0
                { IFS= read -r s </proc/$$/stat; read -r b </proc/sys/kernel/random/boot_id; } 2>/dev/null
                s=${s##*) }
                set -- $s
                echo "$$ ${20-0} $b" >switch/pid
            }
            begun
            sleep "$2"
            mv armed fired 2>/dev/null || exit 0
            exec >switch/log 2>&1
            end() { echo "$*" >switch/result.new; mv switch/result.new switch/result; exit; }
            owner=
            { read -r owner <"$3"; } 2>/dev/null
            # Whichever of the rollout's controllers it is.
            [ "${owner%% *}" = "$4" ] || end "the lock belongs to ${owner:-nobody}: left alone"
            for p in */pid; do
                case $p in switch/*) continue ;; esac
                [ -e "$p" ] && [ ! -s "${p%pid}rc" ] || continue
                ours "$p" || continue
                i=0
                while kill -0 "-$pid" 2>/dev/null; do
                    case $(cut -d' ' -f3 "/proc/$pid/stat" 2>/dev/null) in Z) break ;; esac
                    if [ $i -lt 50 ]; then kill -TERM "-$pid"; else kill -KILL "-$pid"; fi 2>/dev/null
                    i=$((i + 1))
                    [ $i -lt 100 ] || end "what ran before does not end: nothing was done"
                    sleep 0.1 2>/dev/null || sleep 1
                done
            done
            limit() { shift; "$@"; }
            command -v timeout >/dev/null 2>&1 && limit() { timeout "$@"; }
            step() {
                read -r name <"switch/$1.name"
                from=$(date +%s)
                (cd && limit "$2" $3 <"$OLDPWD/switch/$1.sh")
                status=$?
                # Whoever finds a changed file asks which step ran then.
                echo "$from $(date +%s) $name" >>switch/times
                [ $status = 0 ] || end "failed at $name: exit $status"
            }
            . ./switch/steps
            end done
            END
            : >armed || exit 1
            set -- "$run" "$FLEET_SECONDS" "$lock" "$FLEET_ROLLOUT"
            if [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ] &&
                systemd-run --quiet --collect --setenv=HOME="$HOME" sh "$run/switch/watch" "$@" 2>/dev/null
            then :
            elif [ -n "$fleet_setsid" ]
            then $fleet_setsid sh switch/watch "$@" </dev/null >/dev/null 2>&1 &
            else (trap '' HUP; exec sh switch/watch "$@") </dev/null >/dev/null 2>&1 &
            fi
            i=0
            until [ -s switch/pid ]; do
                i=$((i + 1))
                [ $i -lt 50 ] || { rm -f armed; echo "the dead-man switch did not start"; exit 1; }
                sleep 0.1 2>/dev/null || sleep 1
            done
            echo "armed: goes back by itself in $FLEET_SECONDS s unless it is confirmed"
            """#

    private static let confirming = #"""
        { [ -e confirmed ] || [ -e unarmed ]; } && exit 0
        if mv armed confirmed 2>/dev/null; then
            ! ours switch/pid || kill -TERM "-$pid" 2>/dev/null
            exit 0
        fi
        [ ! -e fired ] || { echo "the dead-man switch has fired: the host went back by itself"; exit 1; }
        echo "the dead-man switch is gone"
        exit 1
        """#

    private static let disarming = #"""
        if mv armed disarmed 2>/dev/null; then
            ! ours switch/pid || kill -TERM "-$pid" 2>/dev/null
            echo "disarmed"
            exit 0
        fi
        [ -e fired ] || exit 0
        while [ ! -e switch/result ] && ours switch/pid; do
            sleep 0.2 2>/dev/null || sleep 1
        done
        echo "the host went back by itself: $(cat switch/result 2>/dev/null || echo interrupted)"
        cat switch/log 2>/dev/null
        exit 0
        """#
}
