# fleet_recover KEY FROM: waits for a detached step, or makes sure that it never starts (`NEVER KEY`).
fleet_recover() {
    fleet_s=$fleet_dir/$1
    if fleet_never "$1"; then fleet_say NEVER "$1"; return; fi
    while [ ! -s "$fleet_s/rc" ] && fleet_alive "$fleet_s"; do fleet_nap; done
    fleet_tell "$1" "$2"
}
