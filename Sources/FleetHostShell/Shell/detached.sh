# What all verbs for detached steps share.
fleet_umask=$(umask)
umask 077
fleet_boot=0
{ read -r fleet_boot </proc/sys/kernel/random/boot_id; } 2>/dev/null
fleet_nap() { sleep 0.1 2>/dev/null || sleep 1; }
fleet_tell() {
    fleet_n=0
    if [ -s "$fleet_dir/$1/out" ]; then
        fleet_n=$(($(wc -c <"$fleet_dir/$1/out")))
        fleet_say BEGIN "$1"
        tail -c "+$2" "$fleet_dir/$1/out" 2>/dev/null
    fi
    fleet_r=
    { read -r fleet_r <"$fleet_dir/$1/rc"; } 2>/dev/null
    fleet_say END "$1" "${fleet_r:-gone}" $fleet_n
}
fleet_never() {
    fleet_s=$fleet_dir/$1
    [ ! -e "$fleet_s/never" ] || return 0
    mkdir -p "$fleet_s" 2>/dev/null
    [ ! -s "$fleet_s/rc" ] && (set -C; true >"$fleet_s/go") 2>/dev/null && mkdir "$fleet_s/never"
}
fleet_group_alive() {
    case $(LC_ALL=C kill -0 "-$1" 2>&1) in
    '' | *ermitted*) ;;
    *) LC_ALL=C kill -0 "$1" 2>/dev/null || return 1 ;;
    esac
    fleet_z=
    for fleet_f in /proc/[0-9]*/stat; do
        { read -r fleet_x <"$fleet_f"; } 2>/dev/null || continue
        set -- "$1" ${fleet_x##*) }
        [ "${4-}" = "$1" ] || continue
        case $2 in Z | X) fleet_z=1 ;; *) return 0 ;; esac
    done
    [ -z "$fleet_z" ]
}
fleet_signal() {
    kill "-$1" "-$2" 2>/dev/null || kill "-$1" "$2" 2>/dev/null
    [ -z "$3" ] || printf 'kill -%s -%s\n' "$1" "$2" | fleet_sudo "$3" 'exec sh -s' >/dev/null 2>&1
}
fleet_alive() {
    read -r fleet_p fleet_t fleet_b fleet_u 2>/dev/null <"$1/pid" || return 1
    [ "$fleet_b" = "$fleet_boot" ] || return 1
    fleet_now=
    { read -r _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ fleet_now _ </proc/$fleet_p/stat; } 2>/dev/null
    [ -z "$fleet_now" ] || [ "$fleet_now" = "$fleet_t" ] || return 1
    fleet_group_alive "$fleet_p"
}
fleet_end_group() {
    fleet_signal TERM "$1" "$2"
    fleet_i=0
    while fleet_group_alive "$1"; do
        fleet_i=$((fleet_i + 1))
        [ $fleet_i -ne 50 ] || fleet_signal KILL "$1" "$2"
        [ $fleet_i -lt 100 ] || return 1
        fleet_nap
    done
}
