/// Where detached scripts live on a host: `~/.fleet/runs/ROLLOUT/KEY`.
public enum RunDirectory {
    /// Defines `ours FILE`, which sets `pid`, and is true if the process group that a step's `pid` file names is
    /// the one that the step was started as.
    ///
    /// A number alone says nothing: it is given to others after a reboot, or when its process is gone. As long
    /// as a group has members the kernel gives its number to no other process, so a leader that is gone is no
    /// doubt.
    public static let ours = #"""
        ours() {
            pid= ours_start= ours_boot= ours_now= ours_stat=
            { read -r pid ours_start ours_boot _ <"$1"; } 2>/dev/null || return 1
            case $pid in '' | *[!0-9]*) return 1 ;; esac
            { read -r ours_now </proc/sys/kernel/random/boot_id; } 2>/dev/null
            [ "$ours_boot" = "${ours_now:-0}" ] || return 1
            { IFS= read -r ours_stat <"/proc/$pid/stat"; } 2>/dev/null
            if [ -n "$ours_stat" ]; then
                set -- ${ours_stat##*) }
                [ "${20}" = "$ours_start" ] || return 1
            fi
            kill -0 "-$pid" 2>/dev/null
        }

        """#

    /// A read-only script that refuses, saying `E_BUSY`, while a step of an earlier rollout runs.
    ///
    /// Nothing else may start on a host beside a step whose controller has left it.
    public static let stillRunning = Script(
        #"""
        for step in "$HOME"/.fleet/runs/*/*/; do
            [ -e "$step/go" ] && [ ! -s "$step/rc" ] && [ ! -e "$step/never" ] || continue
            read -r pid start boot user 2>/dev/null <"$step/pid" || continue
            [ "$boot" = "$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo 0)" ] || continue
            now=
            { read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ now _ </proc/$pid/stat; } 2>/dev/null
            [ -z "$now" ] || [ "$now" = "$start" ] || continue
            case $(LC_ALL=C kill -0 "-$pid" 2>&1) in '' | *ermitted*) ;; *) continue ;; esac
            echo "E_BUSY a step of an earlier rollout still runs: process group $pid in $step"
            exit 1
        done
        """#
    )

    /// A read-only script that prints when a rollout's steps ran, in seconds since 1970 by the host's clock.
    ///
    /// `ran KEY BEGAN ENDED` for every attempt, with nothing for an end that has not come; `back BEGAN ENDED NAME` for a
    /// step that the host has gone back by itself.
    public static func times(of rollout: String) -> Script {
        Script(
            #"""
            cd "$HOME/.fleet/runs/$FLEET_ROLLOUT" 2>/dev/null || exit 0
            for began in */go; do
                key=${began%/go}
                from=$(stat -c %Y "$began" 2>/dev/null) || continue
                to=
                [ ! -s "$key/rc" ] || to=$(stat -c %Y "$key/rc" 2>/dev/null)
                echo "ran $key $from $to"
            done
            [ ! -s switch/times ] || sed 's/^/back /' switch/times
            exit 0
            """#,
            environment: [EnvironmentVariable("FLEET_ROLLOUT", rollout)]
        )
    }
}
