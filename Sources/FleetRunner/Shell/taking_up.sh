# Makes the host obey this controller of the rollout.
if [ "$r" = "$FLEET_OWNER" ] && [ "$o" != "$claim" ]; then
    follows || superseded
    umask 077
    written && mv "$new" "$d/owner" || { echo "E_LOCK cannot write to $d"; exit 1; }
fi
exit 0
