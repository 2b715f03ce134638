# Read-only: everything that fleet has left on the host, as `name=value` lines.
printf 'owner=%s\nwho=%s\nsince=%s\n' "$r" "$who" "$since"
w=
{ read -r w <"$d/witness"; } 2>/dev/null
printf 'witness=%s\n' "$w"
cd "$HOME/.fleet/runs" 2>/dev/null || exit 0
for p in */*/pid; do
    case $p in */switch/pid) continue ;; esac
    [ -e "$p" ] && [ ! -s "${p%pid}rc" ] || continue
    if ours "$p"; then echo "running=${p%/pid}"
    else echo "unended=${p%/pid}"; fi
done
for p in */armed; do
    [ -e "$p" ] || continue
    if ours "${p%armed}switch/pid"; then echo "armed=${p%/armed}"
    else echo "unwatched=${p%/armed}"; fi
done
exit 0
