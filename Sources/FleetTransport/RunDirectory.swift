/// Where detached scripts live on a host: `~/.fleet/runs/ROLLOUT/KEY`.
public enum RunDirectory {
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
}
