internal import FleetTransport

/// What the steps that put releases on hosts have in common there.
enum GitScript {
    /// Shell functions; `FLEET_PATH` is a work tree or a bare repository.
    ///
    /// `g` is git in it, as ``GitSettings`` say, deaf to hooks, prompts and helper programs that a
    /// repository could configure.
    static let functions =
        HostTools.surroundings + "unset \(GitSettings.cleared.joined(separator: " "))\n"
        + "quiet_git() { git \(options) \"$@\"; }\n" + text

    private static let options = GitSettings.hostOptions.map(ShellWord.quote).joined(separator: " ")

    private static let text = #"""
        fail() { printf '%s\n' "$*"; exit 1; }
        # Comes before everything else: what `g` works in.
        enter() {
            FLEET_PATH=$(absolute "$FLEET_PATH")
            FLEET_PATH=${FLEET_PATH%/}
            (walk "$FLEET_PATH/.")
            [ $? != 3 ] || exit 1
            anchor
            ssh=$(git -C "${anchored:-$FLEET_PATH}" config core.sshCommand 2>/dev/null ||
                git config core.sshCommand 2>/dev/null || echo ssh)
            export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=true GIT_SSH_COMMAND="$ssh -o BatchMode=yes"
            export GIT_PAGER=cat GIT_ATTR_NOSYSTEM=1
            GIT_CEILING_DIRECTORIES=$(dirname "$FLEET_PATH") && export GIT_CEILING_DIRECTORIES
            # What the file system can do is written into a repository when it is made; the account's word on
            # it counts for nothing.
            folds=$(git -C "$FLEET_PATH" config --local core.ignoreCase 2>/dev/null) || folds=false
        }
        # Holds the repository's directory open, so that git works in that very one and reads its configuration,
        # whatever its name stands for a moment later: git looks at who owns it by name.
        anchor() {
            anchored=
            [ -n "$strict" ] && [ -e /proc/self/fd ] || return 0
            fleet_began=$(pwd)
            if walk "$FLEET_PATH/."; then
                set -- $(itself .)
                case ${1:-} in 0 | "$me" | "${SUDO_UID:-0}") ;; *)
                    git config --get-all safe.directory 2>/dev/null | grep -qxF -e "$where" -e "$FLEET_PATH" -e '*' ||
                        fail "E_GIT_REPOSITORY $FLEET_PATH belongs to $(name_of "$1"), not to $(id -un): let the step act as that account (become_user), or: git config --global --add safe.directory $where" ;;
                esac
                exec 9<. && anchored=/proc/self/fd/9
            fi
            cd "$fleet_began" || exit 1
        }
        # Whether a git may have to do with the repository `d`, whose files are in `tree`: it works there, or was told
        # of it. One that may not be looked at may.
        may_hold() {
            s=
            { IFS= read -r s <"/proc/$1/stat"; } 2>/dev/null
            case ${s##*) } in '' | Z* | X*) return 1 ;; esac
            cwd=$(readlink "/proc/$1/cwd" 2>/dev/null) || return 0
            told=$({ tr '\000' '\n' <"/proc/$1/environ" | sed -n 's/^GIT_DIR=//p'
                tr '\000' '\n' <"/proc/$1/cmdline" | sed -n 's/^--git-dir=//p; /^--git-dir$/{n;p;}'; } 2>/dev/null)
            while IFS= read -r place; do
                case $place in /*) ;; *) place=$cwd/$place ;; esac
                place=$(cd -P "$place" 2>/dev/null && pwd) || continue
                case $place/ in "$d"/* | "$tree"/*) return 0 ;; esac
            done <<END
        .
        $told
        END
            return 1
        }
        free_index() {
            d=$(g rev-parse --absolute-git-dir) || return 0
            i=0
            while [ -e "$d/index.lock" ] && [ $i -lt 100 ]; do
                sleep 0.1 2>/dev/null || sleep 1
                i=$((i + 1))
            done
            [ -e "$d/index.lock" ] || return 0
            # Left by a git that was killed: taken away only where no git runs that may have to do with it.
            d=$(cd -P "$d" && pwd) && tree=$(cd -P "$FLEET_PATH" && pwd) || return 0
            for p in /proc/[0-9]*; do
                x=$(readlink "$p/exe" 2>/dev/null)
                # Of another account's process only the name may be read.
                [ -n "$x" ] || { IFS= read -r x <"$p/comm"; } 2>/dev/null
                # Its package was upgraded under it.
                x=${x%' (deleted)'}
                case /$x in
                # These serve other machines, and hold no index.
                */git-daemon | */git-http-backend | */git-shell) ;;
                */git | */git-*) may_hold "${p#/proc/}" || continue
                    fail "E_GIT_BUSY $d/index.lock belongs to a git that runs" ;;
                esac
            done
            rm -f "$d/index.lock"
            echo "removed $d/index.lock, which a git that ended had left"
        }
        folds=false
        g() { quiet_git -c core.ignoreCase="$folds" -C "${anchored:-$FLEET_PATH}" "$@"; }
        tag_object() {
            if [ "$(g rev-parse --verify --quiet refs/fleet/release^{commit})" = "$FLEET_COMMIT" ]
            then g rev-parse refs/fleet/release; else echo "$FLEET_COMMIT"; fi
        }
        holding() {
            g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null && { echo has; return; }
            # A shallow repository does not hold what its commits are built on.
            [ "$(g rev-parse --is-shallow-repository 2>/dev/null)" = false ] || return 0
            g rev-parse --verify --quiet HEAD
            g for-each-ref --count=1000 --sort=-creatordate --format='%(objectname)'
        }
        # Before there is a repository: whether the remote can be reached, and has the release as the plan has it.
        reach() {
            seen=$(quiet_git ls-remote -- "$FLEET_REPOSITORY" HEAD \
                ${FLEET_TAG:+"refs/tags/$FLEET_TAG" "refs/tags/$FLEET_TAG^{}"} 2>&1) ||
                fail "E_REMOTE cannot reach $FLEET_REPOSITORY: $(cause "$seen")"
            [ -n "$FLEET_TAG" ] && [ -n "$FLEET_COMMIT" ] && [ -z "${FLEET_GOING_BACK:-}" ] || return 0
            found=$(printf '%s\n' "$seen" | awk -v tag="refs/tags/$FLEET_TAG" '
                $2 == tag "^{}" { commit = $1 }
                $2 == tag { object = $1 }
                END { print commit != "" ? commit : object }')
            [ "$found" = "$FLEET_COMMIT" ] ||
                fail "E_TAG_DIFFERS at $FLEET_REPOSITORY $FLEET_TAG is, as this host sees it, ${found:-nothing}, and to the plan $FLEET_COMMIT"
        }
        label() { g describe --tags --exact-match "$1" 2>/dev/null || printf %.12s "$1"; }
        # Where a rollout is undone: a host is on what that has left, or on what ran before it.
        known_release() {
            [ -n "${FLEET_UNDOES:-}" ] && [ -n "$1" ] || return 0
            case " $FLEET_UNDOES " in
            *" $1 "*) ;;
            *) fail "E_OTHER_RELEASE $FLEET_PATH is on $(label "$1"): neither what the rollout to undo has left, nor what ran before" ;;
            esac
        }
        # Cause first: git's first fatal or error line, then the last thing it said.
        cause() {
            printf '%s\n' "$1" | sed -n '/^fatal:/p; /^error:/p' | head -n 1
            printf '%s\n' "$1" | head -n 20
        }

        """#

    /// `differences` tells how files differ from what git writes for a commit; `stamp` marks the moment
    /// after which a process must have started to run them.
    ///
    /// The commit is read into an index of its own, and every file is read: the flags and the facts that the
    /// real index keeps (`assume-unchanged`, `skip-worktree`, sizes and times) count for nothing. A file that
    /// git calls different is written once more beside, and the bytes are compared: where attributes
    /// convert, what git writes is not always what it would take back. Files whose line ends or filters
    /// could hide a change are compared in the same way.
    static let tree =
        stamp + #"""
            # tree_in DIRECTORY: which work tree `differences` looks at, with the repository at FLEET_PATH.
            tree_in() { FLEET_TREE=$1; }
            t() {
                if [ -z "${FLEET_TREE:-}" ]; then g "$@"
                else quiet_git --git-dir="${anchored:-$FLEET_PATH}" --work-tree="$FLEET_TREE" -C "$FLEET_TREE" "$@"; fi
            }
            # differences COMMIT: prints `WHAT TIME PATH` for every file that is not what git writes for it;
            # WHAT is missing, type, mode or content, TIME that of its last change. Fails if it cannot tell.
            differences() (
                scratch=$(mktemp -d) || { echo "no scratch directory can be made"; exit 2; }
                trap 'rm -rf "$scratch"' EXIT
                GIT_INDEX_FILE=$scratch/index
                export GIT_INDEX_FILE
                t read-tree "$1" || exit 2
                t update-index -q --really-refresh >/dev/null 2>&1
                t diff-files -z --name-only --ignore-submodules=all >"$scratch/names" || exit 2
                if [ -n "$(t ls-files -- .gitattributes '**/.gitattributes' | head -n 1)" ] ||
                    [ -e "$FLEET_PATH/.git/info/attributes" ] || [ -e "${FLEET_TREE:-$FLEET_PATH}/.gitattributes" ]
                then
                    t ls-files --eol -z | tr '\n\000' '\001\n' | sed -e '/^i\/\([-a-z]*\)  *w\/\1 /d' |
                        cut -f 2- | tr '\n\001' '\000\n' >>"$scratch/names"
                    # The same line ends here and there are not the same bytes where git writes others.
                    t ls-files -z -- ':(attr:eol=crlf)' >>"$scratch/names" || exit 2
                    for a in filter ident working-tree-encoding; do
                        t ls-files -z -- . ":(exclude,attr:!$a)" >>"$scratch/names" || exit 2
                    done
                fi
                [ -s "$scratch/names" ] || exit 0
                mkdir "$scratch/tree" || exit 2
                # Names may be there twice.
                t checkout-index -q -f -z --stdin --prefix="$scratch/tree/" <"$scratch/names" || exit 2
                cd "${FLEET_TREE:-$FLEET_PATH}" || exit 2
                # The status of a pipeline would be its last part's.
                xargs -0 sh -c "$fleet_compare" sh "$scratch/tree" <"$scratch/names" >"$scratch/different" ||
                    { echo "not every file could be looked at"; exit 2; }
                sort -u "$scratch/different"
            )
            fleet_compare='
                t=$1
                shift
                x() { [ -n "$(find "$1" -prune -perm -100 2>/dev/null)" ]; }
                for f do
                    w=$t/$f what=
                    if [ -h "$w" ]; then
                        if [ -h "./$f" ]; then [ "$(readlink "./$f")" = "$(readlink "$w")" ] || what=content
                        elif [ -e "./$f" ]; then what=type
                        else what=missing; fi
                    elif [ -h "./$f" ]; then what=type
                    elif [ ! -e "./$f" ]; then what=missing
                    elif [ ! -f "./$f" ]; then what=type
                    elif ! cmp -s "./$f" "$w"; then what=content
                    elif x "./$f"; then x "$w" || what=mode
                    else ! x "$w" || what=mode; fi
                    # A file behind a link is somewhere else.
                    d=$f
                    while case $d in */*) ;; *) false ;; esac; do
                        d=${d%/*}
                        [ ! -h "./$d" ] || { what=type; break; }
                    done
                    [ -n "$what" ] || continue
                    at=$(stat -c %Z "./$f" 2>/dev/null) || at=0
                    case $f in *[[:cntrl:]]*) f=$(printf %s "$f" | tr "[:cntrl:]" "?") ;; esac
                    printf "%s %s %s\n" "$what" "$at" "$f"
                done'
            # What differs, for people: at most twenty names.
            named() {
                printf '%s\n' "$1" | sed -n 's/^\([a-z]*\) [0-9]* \(.*\)/    \2 (\1)/p' | head -n 20
                n=$(printf '%s\n' "$1" | wc -l)
                [ "$n" -le 20 ] || echo "    and $((n - 20)) more"
            }
            # Names in the index that are not those of a commit.
            staged() { g diff-index --cached --name-only --no-renames --ignore-submodules=all "$1" --; }
            # Fails, and names them, unless index and files are what git writes for a commit.
            must_be() {
                d=$(staged "$1") || fail "E_CHECKOUT the index of $FLEET_PATH cannot be read"
                [ -z "$d" ] || fail "E_CHECKOUT the index of $FLEET_PATH is not that of $1:
            $(printf '%s\n' "$d" | sed 's/^/    /' | head -n 20)"
                d=$(differences "$1") || fail "E_CHECKOUT $FLEET_PATH cannot be compared with $1: $d"
                [ -z "$d" ] || fail "E_CHECKOUT these files of $FLEET_PATH are not what $1 holds:
            $(named "$d")"
            }
            # The files as they are now, staged ones too, as one id; nothing is written into the repository.
            files_id() (
                scratch=$(mktemp -d) || exit 2
                trap 'rm -rf "$scratch"' EXIT
                cp "$dir/index" "$scratch/index" && mkdir "$scratch/objects" || exit 2
                GIT_INDEX_FILE=$scratch/index GIT_OBJECT_DIRECTORY=$scratch/objects
                objects=$(g rev-parse --git-path objects) &&
                    GIT_ALTERNATE_OBJECT_DIRECTORIES=$(cd "$FLEET_PATH" && cd "$objects" && pwd -P) || exit 2
                export GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
                # What git was told not to look at counts, too.
                for flag in --no-assume-unchanged --no-skip-worktree; do
                    g ls-files -z | g update-index $flag -z --stdin || exit 2
                done
                g update-index -q --really-refresh >/dev/null 2>&1
                g add -u . && g write-tree
            )
            # Whether this host can write what a commit holds: no submodules, and every filter that a file needs.
            writable_commit() {
                ! g ls-tree -r "$1" | grep -q '^160000 ' ||
                    fail "E_SUBMODULES $1 has submodules, which are not fetched"
                g ls-tree -r --name-only "$1" | grep -E '(^|/)\.gitattributes$' | while IFS= read -r f; do
                    g cat-file -p "$1:$f" | sed -n 's/.*[[:space:]]filter=\([^[:space:]]*\).*/\1/p'
                done | sort -u | while IFS= read -r name; do
                    p=$(g config "filter.$name.process" || g config "filter.$name.smudge") || p=
                    command -v "${p%% *}" >/dev/null 2>&1 && continue
                    # Without a command for the way out git writes what the commit holds, unless that is said
                    # to be no file at all; these two are known not to be.
                    case $name in lfs | git-crypt) ;;
                    *) [ "$(g config --bool "filter.$name.required")" = true ] || continue ;; esac
                    filtered "$1" "$name" || continue
                    fail "E_FILTER files of $1 need git's filter $name, which this host does not have$(
                        [ "$name" != lfs ] || echo ' (install git-lfs, then: git lfs install)')"
                done || exit 1
            }
            # Whether a commit holds a file with a filter.
            filtered() (
                scratch=$(mktemp -d) || exit 0
                trap 'rm -rf "$scratch"' EXIT
                GIT_INDEX_FILE=$scratch/index
                export GIT_INDEX_FILE
                g read-tree "$1" && g ls-files -z | g check-attr --cached -z --stdin filter | tr '\0' '\n' | grep -qxF "$2"
            )
            # Names, NUL between them, of what changes between two commits; a filter as git diff-tree knows it.
            changing() { g diff-tree -r -z --no-renames --name-only ${3:+--diff-filter=$3} "$1" "$2"; }
            # Of names on standard input those that are there; what a link leads to is somewhere else.
            fleet_there='
                wanted=$1
                shift
                for f do
                    is=no p=$f
                    if [ -e "./$f" ] || [ -h "./$f" ]; then is=yes; fi
                    while case $p in */*) ;; *) false ;; esac; do
                        p=${p%/*}
                        [ ! -h "./$p" ] || is=no
                    done
                    [ $is != "$wanted" ] || printf "%s\0" "$f"
                done'
            there() { (cd "$FLEET_PATH" && xargs -0 sh -c "$fleet_there" sh "$1"); }
            # Which of the files that a commit brings along are not there yet, for `remove_added`; once in a rollout.
            note_added() {
                d=$(g rev-parse --absolute-git-dir) || exit 1
                [ -n "${FLEET_SNAPSHOT_LOOK:-}" ] || return 0
                [ "$(cat "$d/fleet-added.look" 2>/dev/null)" != "$FLEET_SNAPSHOT_LOOK" ] || return 0
                all=$(mktemp) || exit 1
                changing "$1" "$2" A >"$all" || exit 1
                (
                    walk "$d/." && rm -f ./fleet-added.look || exit 1
                    there no <"$all" | put fleet-added || fail "E_CHECKOUT $d/fleet-added cannot be written"
                    printf '%s\n' "$FLEET_SNAPSHOT_LOOK" | put fleet-added.look
                ) || exit 1
                rm -f "$all"
            }
            # Takes away what this rollout's checkout of a commit has put there, if it is still as git wrote it:
            # never what was there before, and nothing behind a link.
            remove_added() (
                d=$(g rev-parse --absolute-git-dir) || exit 2
                [ -n "${FLEET_SNAPSHOT_LOOK:-}" ] && [ -s "$d/fleet-added" ] &&
                    [ "$(cat "$d/fleet-added.look" 2>/dev/null)" = "$FLEET_SNAPSHOT_LOOK" ] || exit 0
                scratch=$(mktemp -d) || exit 2
                trap 'rm -rf "$scratch"' EXIT
                GIT_INDEX_FILE=$scratch/index
                export GIT_INDEX_FILE
                g read-tree "$1" && mkdir "$scratch/tree" &&
                    g checkout-index -q -z --stdin --prefix="$scratch/tree/" <"$d/fleet-added" || exit 2
                cd "$FLEET_PATH" && xargs -0 sh -c '
                    t=$1
                    shift
                    for f do
                        case /$f/ in */../*) continue ;; esac
                        [ -h "./$f" ] || [ -f "./$f" ] || continue
                        p=$f behind=
                        while case $p in */*) ;; *) false ;; esac; do
                            p=${p%/*}
                            [ ! -h "./$p" ] || { behind=yes; break; }
                        done
                        [ -z "$behind" ] || continue
                        if [ -h "./$f" ] && [ -h "$t/$f" ] && [ "$(readlink "./$f")" = "$(readlink "$t/$f")" ] ||
                            [ ! -h "./$f" ] && [ ! -h "$t/$f" ] && cmp -s "./$f" "$t/$f"
                        then
                            rm -f "./$f" || exit 1
                            echo "removed $f, which the checkout that failed had left"
                            case $f in */*) rmdir -p "./${f%/*}" 2>/dev/null ;; esac
                        else echo "left alone: $f is not in this release, and was changed"
                        fi
                    done
                    exit 0' sh "$scratch/tree" <"$d/fleet-added" || exit 2
            )

            """#

    /// `stamp COMMIT` prints the boot, the start of a process that starts now, as the kernel counts it
    /// (proc(5), stat), and the commit.
    static let stamp = #"""
        stamp() {
            b=0 s=
            { read -r b </proc/sys/kernel/random/boot_id; } 2>/dev/null
            s=$(sh -c 'IFS= read -r s </proc/$$/stat && s=${s##*) } && set -- $s && echo "${20}"' 2>/dev/null) || s=
            echo "$b ${s:-0} $1"
        }

        """#
}
