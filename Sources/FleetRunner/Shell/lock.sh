# What every script about a host's lock begins with: what stands in `owner` and `generation`, and what all of them
# share. Its variables are FLEET_ENVIRONMENT, FLEET_OWNER, FLEET_EPOCH, FLEET_ADOPTS, FLEET_WHO, FLEET_LOCK_HOST and
# FLEET_WITNESS.
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
