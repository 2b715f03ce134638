# Takes the lock if nobody has, or has changed the host since preflight.
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
