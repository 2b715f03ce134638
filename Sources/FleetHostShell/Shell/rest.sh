# fleet_rest KEY FROM: the output of a detached step from a byte on, counted from 1.
fleet_rest() { fleet_tell "$1" "$2"; }
