# Read-only: refuses a host that is another's, or has no room to record what happens on it; prints `name=value` lines.
case $r in
'' | "$FLEET_ADOPTS") echo "generation=$now" ;;
"$FLEET_OWNER")
    # Locks come after this question: another controller of the same rollout has gone on from here.
    follows || :
    superseded
    ;;
*) held ;;
esac
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
case $k in '' | *[!0-9]*) ;; *) [ "$k" -ge 32768 ] || {
    echo "E_DISK only $k KiB are free in $HOME"; exit 1; } ;;
esac
case $i in '' | *[!0-9]* | 0) ;; *) [ "$i" -ge 1000 ] || {
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
