# fleet_run ID USER SCRIPT: runs a script, as another account if one is named.
# Says `BEGIN ID`, the output, and `END ID STATUS 0`.
fleet_run() {
    fleet_say BEGIN "$1"
    if [ -n "$2" ]; then
        (fleet_mask; printf '%s\n' "$3" | fleet_sudo "$2" 'exec sh -s') 2>&1
    else (fleet_mask; eval "$3") </dev/null 2>&1
    fi
    fleet_say END "$1" $? 0
}
