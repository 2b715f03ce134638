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

[ "$o" = "$FLEET_OWNER" ] || exit 0; witness; raise && rm -f "$d/owner"
