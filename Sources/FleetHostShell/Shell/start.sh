# fleet_start KEY USER SCRIPT ENVIRONMENT OWNER: starts a detached step and waits for it.
# Says NOSETSID, DUPLICATE or NOSPOOL with the key, or what `fleet_tell` says.
fleet_start() {
    fleet_s=$fleet_dir/$1
    # What could not be ended with all its children is not started.
    [ -n "$fleet_setsid" ] || { fleet_say NOSETSID "$1"; return; }
    if [ -n "$5" ]; then
        # Before its directory is made: the attempt is its rightful owner's to begin.
        fleet_o=
        { read -r fleet_o <"$HOME/.fleet/locks/$4/owner"; } 2>/dev/null
        if [ "$fleet_o" != "$5" ]; then
            fleet_say BEGIN "$1"
            echo "the lock of this host belongs to ${fleet_o:-nobody}"
            fleet_say END "$1" fenced 0
            return
        fi
    fi
    [ -d "$fleet_dir" ] || mkdir -p "$fleet_dir" 2>/dev/null
    mkdir "$fleet_s" 2>/dev/null || {
        if [ -d "$fleet_s" ]; then fleet_say DUPLICATE "$1"; else fleet_say NOSPOOL "$1" "$HOME"; fi
        return
    }
    printf '%s\n' "$3" >"$fleet_s/script" || {
        rm -rf "$fleet_s"
        fleet_say NOSPOOL "$1" "$HOME"
        return
    }
    set -- "$1" "$fleet_s" "$2" "$fleet_boot" "$fleet_umask" "$fleet_skip" \
        "$HOME/.fleet/locks/$4/owner" "$5"
    fleet_k=$1
    shift
    if ! fleet_is_asked "$2"; then
        $fleet_setsid sh -c "$fleet_step" fleet "$@" </dev/null >/dev/null 2>&1 &
    else
        printf '%s\n' "$fleet_pw" |
            $fleet_setsid sh -c "$fleet_step" fleet "$@" >/dev/null 2>&1 &
    fi
    wait $!
    fleet_tell "$fleet_k" 1
}
