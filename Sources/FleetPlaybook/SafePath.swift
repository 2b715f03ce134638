/// How fleet's own scripts get to a place on a host, and write there, where somebody else may put links in
/// the way.
///
/// A step that acts as root, or as another account, works in directories that often belong to the
/// application's account. Whoever runs as that account may put a link where the step is about to write or
/// read, or swap one in between two commands. So a place is reached one directory at a time, and then the
/// kernel is asked where that was; everything is made in a directory that nobody else can look into, and
/// gets its name by a rename, which follows no link.
///
/// A link on the way is followed if root or the account itself owns it. What somebody else's link leads to
/// is written as that somebody, who could have written there anyway (``functions``, `drop`); an account that
/// cannot become that one refuses.
///
/// All of this is in force under `become_user`, and for root. Any other login account follows links as
/// every program does.
enum SafePath {
    /// Shell functions; `FLEET_BECAME` is 1 under `become_user`.
    ///
    /// They print `E_LINK` and why, and end the script, where a link is not followed.
    static let functions = #"""
        me=$(id -u) strict=${FLEET_BECAME:-}
        [ "$me" != 0 ] || strict=1
        # The link or file itself: owner, names that it has, number, last change of these, mode.
        itself() {
            stat -c '%u %h %d:%i %Z %a' "$1" 2>/dev/null || stat -f '%u %l %d:%i %c %Lp' "$1" 2>/dev/null
        }
        name_of() { id -un "$1" 2>/dev/null || echo "$1"; }
        # Ends with 3, which tells a subshell's caller from a place that is not there.
        no_link() { echo "E_LINK $*" >&2; exit 3; }
        # absolute PATH: prints it; a relative one begins where the step runs.
        absolute() {
            case $1 in
            '~/'*) printf '%s\n' "$HOME/${1#??}" ;;
            '~') printf '%s\n' "$HOME" ;;
            /*) printf '%s\n' "$1" ;;
            *)
                case ${FLEET_BASE:-} in
                '~'* | /*) absolute "$FLEET_BASE/$1" ;;
                *) printf '%s\n' "$PWD/${FLEET_BASE:+$FLEET_BASE/}$1" ;;
                esac
                ;;
            esac
        }
        # Whether this is the directory that was meant. A shell's own word for where it is may be older than what
        # was put in the way.
        sure() {
            [ -z "$strict" ] || [ "$(env pwd -P)" = "${where:-/}" ] ||
                no_link "$way: $where was replaced while it was entered"
        }
        # Whether nobody but root and this account can change names in the working directory.
        is_safe() {
            set -- $(itself .)
            case ${1:-} in 0 | "$me") ;; *) return 1 ;; esac
            case ${5:-777} in [1357]???) ;; *[2367] | *[2367]?) return 1 ;; esac
        }
        # The same of every directory above it; and nobody else can make a file in the first one.
        is_safe_all() (
            case $(itself .) in *[2367] | *[2367]?) exit 1 ;; esac
            while is_safe; do
                [ "$(env pwd -P)" != / ] || exit 0
                cd -P .. || exit 1
            done
            exit 1
        )
        # What the link ./NAME leads to, as `target`; else who owns it, as `owner`, where that is somebody else.
        follow() {
            sure
            owner= target=
            if [ -z "$strict" ]; then target=$(readlink "./$1"); return; fi
            is=$(itself "./$1")
            owner=${is%% *}
            case $owner in
            '') no_link "$where/$1 cannot be looked at: this host's stat does not tell whose it is" ;;
            0 | "$me") owner= ;;
            *) return 0 ;;
            esac
            if is_safe; then target=$(readlink "./$1"); return; fi
            # Somebody else may swap links here: it must be the same one before and after it is read, and that
            # shows only once its last change is a while ago.
            i=0
            while :; do
                is=$(itself "./$1")
                set -- "$1" $is
                case ${2:-} in 0 | "$me") ;; *) no_link "$where/$1 changes while it is looked at" ;; esac
                [ "$3" = 1 ] || no_link "$where/$1 is a link with more than one name"
                if [ $(($(date +%s) - $5)) -ge 2 ]; then
                    target=$(readlink "./$1")
                    [ "$(itself "./$1")" != "$is" ] || return 0
                fi
                i=$((i + 1))
                [ $i -lt 50 ] || no_link "$where/$1 changes while it is looked at"
                sleep 0.1 2>/dev/null || sleep 1
            done
        }
        # walk PATH [make]: enters the directory that holds the last name of an absolute path. `name` is that name,
        # or `.` where the path is a directory's with `/.` behind it; it is no link. `where` is the directory.
        # False if a directory on the way is missing; with `make` it is made.
        walk() {
            way=$1 todo=$1 where= hops=0
            cd -P / || return 1
            while :; do
                while case $todo in /*) ;; *) false ;; esac; do todo=${todo#/}; done
                name=${todo%%/*}
                todo=${todo#"$name"}
                while case $todo in /*) ;; *) false ;; esac; do todo=${todo#/}; done
                case $name in
                '')
                    name=.
                    break
                    ;;
                .)
                    [ -n "$todo" ] || break
                    continue
                    ;;
                ..)
                    cd -P .. || return 1
                    where=${where%/*}
                    continue
                    ;;
                esac
                if [ -h "./$name" ]; then
                    hops=$((hops + 1))
                    [ $hops -le 40 ] || no_link "$way leads in a circle"
                    follow "$name" || return 1
                    if [ -n "$owner" ]; then
                        [ "$me" = 0 ] || no_link "$where/$name is a link of $(name_of "$owner")'s, which $(id -un) does not follow"
                        drop "$owner"
                    fi
                    case $target in
                    '') return 1 ;;
                    /*)
                        cd -P / || return 1
                        where=
                        ;;
                    esac
                    todo=$target${todo:+/$todo}
                    continue
                fi
                [ -n "$todo" ] || break
                # Nothing is made where this is not the place that was meant.
                [ -d "./$name" ] || { [ -n "${2:-}" ] && sure && mkdir "./$name"; } || return 1
                cd -P "./$name" 2>/dev/null ||
                    no_link "$(id -un) may not enter $where/$name, on the way to $way"
                where=$where/$name
            done
            sure
        }
        # Words that let a command run as the account with that number.
        as_account() {
            gid=$(id -g "$1" 2>/dev/null) || gid=$1
            if command -v setpriv >/dev/null 2>&1 && setpriv --reuid=0 true 2>/dev/null
            then
                groups=--init-groups
                id -un "$1" >/dev/null 2>&1 || groups=--clear-groups
                as="setpriv --reuid=$1 --regid=$gid $groups"
            elif command -v runuser >/dev/null 2>&1; then as="runuser -u $(id -un "$1") --"
            elif command -v sudo >/dev/null 2>&1; then as="sudo -n -E -u #$1 --"
            else no_link "$way: nothing here lets root act as $(name_of "$1") (setpriv, runuser, sudo)"; fi
        }
        home_of() {
            { getent passwd "$1" 2>/dev/null || awk -F: -v u="$1" '$3 == u || $1 == u' /etc/passwd; } |
                head -n 1 | cut -d: -f6
        }
        # resolve PATH: prints who may follow the links on the way, as a number, and the path without them. Who that is
        # is said before anything runs as that account: its processes may say what they like.
        resolve() (
            fleet_text='resolved "$FLEET_RESOLVE"' FLEET_RESOLVE=$1
            export FLEET_RESOLVE
            walk "$1" || exit 1
            printf '%s %s\n' "$me" "${where%/}/$name"
        )
        resolved() {
            walk "$1" || exit 1
            printf '%s\n' "${where%/}/$name"
        }
        # Goes on as the account that owns a link: from the beginning, because it sees other things.
        drop() {
            [ -n "${fleet_text:-}" ] ||
                no_link "$where/$name is a link of $(name_of "$1")'s: let the step act as that account (become_user)"
            # What is for others' eyes only does not become theirs by a link of theirs.
            case ${FLEET_MODE:-0644} in
            *[4-7]) ;;
            *)
                case $(id -u "${FLEET_OWNER%%:*}" 2>/dev/null) in "$1") ;; *)
                    no_link "$where/$name is a link of $(name_of "$1")'s, who may not read what shall be there: name it as the \`owner\`, or let the step act as that account (become_user)" ;;
                esac
                ;;
            esac
            as_account "$1"
            # What cleans up at the end would do so in another directory.
            trap - EXIT
            HOME=$(home_of "$1")
            export HOME="${HOME:-/nonexistent}" FLEET_BECAME=1
            cd /
            # That account's processes get no output of this script's: they could keep it, and write into what
            # root says later. They get files without a name, and what is in these is said for them; what is too
            # long for that goes through a pipe, which they can hold up and no more.
            if [ -n "${FLEET_STREAMS:-}" ]; then
                exec 6>&1
                set -- "$({ {
                    $as sh -c "$fleet_functions
        $fleet_text" 2>&1 5>&- 6>&-
                    echo $? >&5
                } | cat >&6; } 5>&1)"
                exit "$1"
            fi
            said=$(umask 077; mktemp) && told=$(umask 077; mktemp) && exec 6>"$said" 7<"$said" 8>"$told" 9<"$told" ||
                no_link "$way: root cannot make a file in ${TMPDIR:-/tmp}"
            rm -f "$said" "$told"
            case $fleet_text in 'resolved '*) printf '%s ' "$1" ;; esac
            $as sh -c "$fleet_functions
        $fleet_text" >&6 2>&8 6>&- 7<&- 8>&- 9<&-
            set -- $?
            # Not more than is listened to; and the file may go on growing.
            head -c 1048576 <&9 >&2
            head -c 1048576 <&7
            exit "$1"
        }
        # reading FILE COMMAND…: the command reads the file, and not one that a link in its place names.
        reading() (
            file=$1
            shift
            [ -f "$file" ] || exit 1
            exec <"$file" || exit 1
            if [ -n "$strict" ]; then
                is=$(itself "$file")
                is=${is#* * }
                now=$(stat -L -c %d:%i /dev/stdin 2>/dev/null || stat -L -f %d:%i /dev/stdin)
                [ -n "$now" ] && [ "${is%% *}" = "$now" ] || no_link "$where/${file##*/} was replaced while it was read"
            fi
            "$@"
        )
        # Enters ./DIRECTORY, and nothing that a link in its place names.
        into() {
            cd -P "./$1" 2>/dev/null || return 1
            where=$where/$1
            sure
        }
        # Enters a directory of this account's own beside what is to be replaced; nobody else can look into it,
        # so that what is in it has no other meaning a moment later.
        open_work() {
            work=$1
            [ -h "./$work" ] || [ -e "./$work" ] || mkdir -m 700 "./$work" || exit 1
            into "$work" || no_link "$where/$work is no directory: remove it"
            # A list that the directory above hands down would let others in, whatever the mode says.
            if [ -n "$strict" ]; then
                case $(ls -ld . 2>/dev/null) in ??????????+*)
                    setfacl -b . 2>/dev/null || no_link "$where: an access control list lets others in (setfacl -b)" ;;
                esac
                # busybox's ls does not show lists.
                ! is_busybox ls || ! command -v setfacl >/dev/null || setfacl -b . || exit 1
            fi
            set -- $(itself .)
            # A directory hands its group on, and says so in the mode.
            case "${1:-} ${5:-}" in "$me 700" | "$me 2700") return ;; esac
            [ -z "$strict" ] || no_link "$where is not $(id -un)'s alone: remove it"
        }
        # Leaves it again; nothing is lost if it is still needed.
        close_work() {
            cd -P .. || return 1
            where=${where%/*}
            rmdir "./$work" 2>/dev/null || :
        }
        # onto FILE TARGET: gives what is in the working directory another name; never into a directory, never
        # through a link.
        onto() {
            said=$(mv -fT "$1" "$2" 2>&1) && return
            case $said in
            *"option -- 'T'"* | *'option -- T'*)
                # A system whose mv knows no -T.
                [ -z "$strict" ] || no_link "this host's mv knows no -T, and others may put links in the way"
                if [ -d "$2" ] && [ ! -h "$2" ]; then rmdir "$2" || return 1; fi
                [ ! -h "$2" ] || rm -f "$2"
                mv -f "$1" "$2"
                ;;
            *)
                printf '%s\n' "$said"
                return 1
                ;;
            esac
        }
        is_busybox() {
            case $("$1" --help 2>&1 </dev/null | head -n 1) in BusyBox*) ;; *) return 1 ;; esac
        }
        # remove PATH…: with all that is in it. busybox goes by paths inside a directory, so that a link that
        # somebody puts in the way leads it elsewhere; other systems' rm goes by descriptors.
        remove() {
            if [ -z "$strict" ] || ! is_busybox rm; then
                rm -rf "$@"
                return
            fi
            while [ $# -gt 0 ]; do
                remove_tree "$1" || return 1
                shift
            done
        }
        remove_tree() {
            if [ -h "$1" ] || [ ! -d "$1" ]; then
                rm -f "$1"
                return
            fi
            (
                enter "$1" || exit 1
                # Names in here, none of which is followed; one that has become a directory stays for the loop.
                find . ! -name . -prune ! -type d -exec rm -f {} + 2>/dev/null
                for entry in ./* ./.[!.]* ./..?*; do
                    [ -h "$entry" ] || [ -e "$entry" ] || continue
                    remove_tree "$entry" || exit 1
                done
            ) && rmdir "$1"
        }
        # enter DIRECTORY: by a path whose last name is no link. That name's own number is the number of the place
        # where this is then, which a link's never is.
        enter() {
            is=$(itself "$1")
            is=${is#* * }
            cd -P "$1" || return 1
            now=$(itself .)
            now=${now#* * }
            [ -n "$now" ] && [ "${is%% *}" = "${now%% *}" ] || no_link "$1 was replaced while it was entered"
        }
        # copy_tree FROM TO: a copy that keeps owners, modes and times, and follows no link.
        copy_tree() {
            if [ -z "$strict" ] || [ -h "$1" ] || [ ! -d "$1" ]; then
                cp -RPp "$1" "$2"
                return
            fi
            # cp goes by paths inside a directory; tar goes by descriptors, but not busybox's.
            if is_busybox tar; then
                case $2 in /*) copy_each "$1" "$2" ;; *) copy_each "$1" "$PWD/$2" ;; esac
                return
            fi
            # 1 is a file that changed meanwhile, which cp says nothing about either.
            (umask 077; enter "$1" && tar -cf - . || [ $? = 1 ]) >"$2.tar" &&
                mkdir -m 700 "$2" && tar -xpf - -C "$2" <"$2.tar"
            set -- $? "$2"
            rm -f "$2.tar"
            return "$1"
        }
        # copy_each FROM TO: the same, name by name; TO is absolute, in a directory of ours.
        copy_each() {
            mkdir -m 700 "$2" || return 1
            (
                enter "$1" || exit 1
                for entry in ./* ./.[!.]* ./..?*; do
                    if [ -h "$entry" ]; then ln -s "$(readlink "$entry")" "$2/$entry" && chown -h "$(stat -c %u:%g "$entry")" "$2/$entry"
                    elif [ -d "$entry" ]; then copy_each "$entry" "$2/$entry"
                    elif [ -f "$entry" ]; then
                        reading "$entry" copied "$2/$entry"
                    else continue; fi || exit 1
                done
                like . "$2"
            )
        }
        # like FROM TO: owner and mode, both of one look; no special bits, which are not to be had by a swap.
        like() {
            set -- "$2" $(stat -L -c '%u:%g %a' "$1")
            [ $# = 3 ] && chown "$2" "$1" && chmod "$(plain_mode "$3")" "$1"
        }
        plain_mode() {
            case $1 in ????*) plain_mode "${1#?}" ;; *) printf '%s\n' "$1" ;; esac
        }
        # copied TO: what is on standard input, with its own owner and mode.
        copied() { cat >"$1" && like /dev/stdin "$1"; }
        # put FILE: what comes on standard input is the content of ./FILE from now on.
        put() (
            open_work "$1.fleet-work"
            cat >./new && onto ./new "../$1" || exit 1
            close_work
        )

        """#
}
