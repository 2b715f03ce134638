# Makes the host obey this controller of the rollout, and prints the attempts at steps that it knows of.
if [ "$r" = "$FLEET_OWNER" ] && [ "$o" != "$claim" ]; then
    follows || superseded
    umask 077
    written && mv "$new" "$d/owner" || { echo "E_LOCK cannot write to $d"; exit 1; }
fi
cd "$HOME/.fleet/runs/$FLEET_OWNER" 2>/dev/null || exit 0
for p in [fr]*-*/; do
    [ ! -d "$p" ] || printf 'step %s\n' "${p%/}"
done
exit 0
