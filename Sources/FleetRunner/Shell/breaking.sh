# Takes the lock from FLEET_KNOWN, ends what still runs of theirs, and frees it.
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
