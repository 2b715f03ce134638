# fleet_ask_sudo ID USER MARK: lets sudo ask for a password with a prompt that carries a mark of ours; runs nothing.
# Says `SUDO ID` by that prompt, and `END ID STATUS N`; N is 0 if nothing was asked.
fleet_ask_sudo() {
    fleet_say BEGIN "$1"
    # A rule that wants no password, or none at all, asks nothing.
    if LC_ALL=C sudo -k -n -u "$2" -- true </dev/null 2>/dev/null; then fleet_say END "$1" 0 0; return; fi
    # One line is handed on, and then the end: sudo asks a second time in vain. A sudo that ends without
    # a question leaves that line to be sent, which the last word tells.
    { IFS= read -r fleet_l && printf '%s\n' "$fleet_l"; } | {
        LC_ALL=C sudo -k -S -p "
$3 SUDO $1
" -u "$2" -- true 2>&1
        fleet_say END "$1" $? 1
    }
}
