# fleet_stop_group GROUP USER: ends a process group. Says `END GROUP 0 0` or `STUCK GROUP`.
fleet_stop_group() {
    if fleet_end_group "$1" "$2"; then fleet_say END "$1" 0 0; else fleet_say STUCK "$1"; fi
}
