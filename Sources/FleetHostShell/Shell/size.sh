# fleet_size KEY: says `END KEY BYTES 0`, how much a detached step has printed so far.
fleet_size() {
    fleet_n=0
    [ ! -s "$fleet_dir/$1/out" ] || fleet_n=$(($(wc -c <"$fleet_dir/$1/out")))
    fleet_say END "$1" $fleet_n 0
}
