# Read-only: prints the attempts at steps of the rollout that the host knows of, and whether its controller is another
# one that came later.
if [ "$r" = "$FLEET_OWNER" ] && [ "$o" != "$claim" ]; then follows || superseded; fi
cd "$HOME/.fleet/runs/$FLEET_OWNER" 2>/dev/null || exit 0
for p in [fr]*-*/pid; do
    p=${p%/pid}
    # What has no process never began, and what is marked so never will.
    [ ! -e "$p/pid" ] || [ -e "$p/never" ] || printf 'step %s\n' "$p"
done
exit 0
