# The lock of a host as fleet 0.1 took and gave it back, before controllers had numbers.
d=$HOME/.fleet/locks/$FLEET_ENVIRONMENT
now=0 o= who= since= on=
{ read -r now <"$d/generation"; } 2>/dev/null
# A file that a crash has emptied is no generation, and not the first one either.
case $now in '' | *[!0-9]*) now=broken ;; esac
{ { read -r o; read -r who; read -r since; read -r on; } <"$d/owner"; } 2>/dev/null
# A file that says nothing, as a power cut may leave it, is somebody's lock all the same.
[ -n "$o" ] || [ ! -e "$d/owner" ] || o=unknown who='its file is empty'
# Two hosts with one home directory would take each other's results for their own.
alone() {
    case ${FLEET_LOCK_HOST:+$on} in '' | "$FLEET_LOCK_HOST") return ;; esac
    echo "E_SHARED_HOME $FLEET_LOCK_HOST and $on have the same home directory ($HOME), or are one machine: what one of them has done would be taken for the other's. Give each a home of its own, or name one of them only"
    exit 1
}
held() {
    echo "E_LOCKED $FLEET_ENVIRONMENT is locked by rollout $o ($who, since $since)"
    exit 1
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

case $o in '') ;; "$FLEET_OWNER" | "$FLEET_ADOPTS") alone ;; esac
[ "$o" != "$FLEET_OWNER" ] || exit 0
[ -z "$FLEET_GENERATION" ] || [ "$now" = "$FLEET_GENERATION" ] || {
    echo "E_CHANGED another rollout was here since preflight"
    exit 1
}
umask 077
mkdir -p "$d" || { echo "E_LOCK cannot write to $d"; exit 1; }
if [ -n "$FLEET_RECORD" ]; then
    r=$HOME/.fleet/runs/$FLEET_OWNER
    mkdir -p "$r" && printf '%s\n' "$FLEET_RECORD" >"$r/record" ||
        { echo "E_LOCK cannot write to $r"; exit 1; }
fi
new=$d/owner.$FLEET_OWNER
printf '%s\n%s\n%s\n%s\n' "$FLEET_OWNER" "$FLEET_WHO" "$(date -u '+%Y-%m-%d %H:%M UTC')" "$FLEET_LOCK_HOST" >"$new" ||
    { echo "E_LOCK cannot write to $d"; exit 1; }
if [ -n "$o" ] && [ "$o" = "$FLEET_ADOPTS" ]; then
    mv "$new" "$d/owner" && witness
    exit
fi
ln "$new" "$d/owner" 2>/dev/null
taken=$?
rm -f "$new"
[ $taken -ne 0 ] || { witness; exit 0; }
{ { read -r o; read -r who; read -r since; read -r on; } <"$d/owner"; } 2>/dev/null
[ "$o" != "$FLEET_OWNER" ] || alone
held
