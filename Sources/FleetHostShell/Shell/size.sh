# fleet_size KEY: says `SIZE KEY BYTES`, how much a detached step has printed so far.
fleet_size() {
    fleet_n=0
    [ ! -s "$fleet_dir/$1/out" ] || fleet_n=$(($(wc -c <"$fleet_dir/$1/out")))
    fleet_say SIZE "$1" $fleet_n
}
