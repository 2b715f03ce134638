# Read-only: who holds the lock, and which of their steps run.
printf 'owner=%s\nwho=%s\nsince=%s\n' "$r" "$who" "$since"
for p in "$HOME"/.fleet/runs/"$r"/*/pid; do
    [ -n "$r" ] && [ -e "$p" ] && [ ! -s "${p%pid}rc" ] || continue
    ours "$p" && { p=${p%/pid}; echo "running=${p##*/}"; }
done
exit 0
