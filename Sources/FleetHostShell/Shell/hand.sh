# fleet_hand ID USER FILE SCRIPT: runs a script as another account, with a file of the login account as its input.
# Says `BEGIN ID`, the output, and `END ID STATUS 0`.
fleet_hand() {
    fleet_say BEGIN "$1"
    fleet_sudo "$2" "$4" <"$3" 2>&1
    fleet_say END "$1" $? 0
}
