# fleet_stop KEY: ends a detached step. Says `END KEY STATUS 0`, `NEVER KEY`, or `STUCK KEY`.
fleet_stop() {
    fleet_s=$fleet_dir/$1
    if fleet_never "$1"; then fleet_say NEVER "$1"; return; fi
    if [ ! -s "$fleet_s/rc" ] && fleet_alive "$fleet_s"; then
        fleet_end_group "$fleet_p" "$fleet_u"
        if fleet_alive "$fleet_s"; then fleet_say STUCK "$1"; return; fi
    fi
    fleet_r=
    { read -r fleet_r <"$fleet_s/rc"; } 2>/dev/null
    fleet_say END "$1" "${fleet_r:-gone}" 0
}
