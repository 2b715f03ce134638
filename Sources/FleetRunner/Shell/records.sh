# Read-only: what the host has kept of rollouts that it holds no end of.
cd "$HOME/.fleet/runs" 2>/dev/null || exit 0
for run in */record; do
    [ -s "$run" ] || continue
    id=${run%/record}
    printf 'record %s ' "$id"
    cat "$run"
    for p in "$id"/*/pid; do
        case $p in */switch/pid) continue ;; esac
        [ -e "$p" ] || continue
        rc=
        { read -r rc <"${p%pid}rc"; } 2>/dev/null
        key=${p%/pid}
        printf 'step %s %s %s\n' "$id" "${key##*/}" "$rc"
    done
done
[ -z "$e" ] || printf 'epoch %s %s\n' "$r" "${e%%.*}"
exit 0
