# What every shell is told first: its surroundings, and what all verbs share.
# Before it stand `fleet_nonce` and `fleet_dir`.
case $fleet_nonce in ????????????????????????????????) ;; *) exit 96 ;; esac
unset IFS CDPATH ENV BASH_ENV POSIXLY_CORRECT
if [ -n "${BASH_VERSION-}" ]; then
    unset -f compgen
    for fleet_f in $(compgen -A function); do unset -f "$fleet_f"; done
fi
fleet_umask=
cd
fleet_group=$$
{ read -r _ _ _ _ fleet_group _ </proc/$$/stat; } 2>/dev/null
case $fleet_group in $$ | $PPID) ;; *) fleet_group=- ;; esac
fleet_say() { printf '\n%s %s\n' "$fleet_nonce" "$*"; }
fleet_mask() { [ -z "$fleet_umask" ] || umask "$fleet_umask"; }
fleet_pw= fleet_askers=
fleet_is_asked() { case $fleet_askers in *" $1 "*) ;; *) return 1 ;; esac; }
fleet_skip='while IFS= read -r l && [ "$l" != .fleet.go. ]; do :; done; eval "$1"'
fleet_sudo() {
    if fleet_is_asked "$1"; then
        { printf '%s\n.fleet.go.\n' "$fleet_pw"; cat; } |
            sudo -k -S -p '' -u "$1" -- sh -c "$fleet_skip" fleet "$2"
    else sudo -n -u "$1" -- sh -c 'eval "$1"' fleet "$2"
    fi
}
