/// What `releases` and `switch` have in common on a host.
enum ReleasesScript {
    /// Sets `root` from `FLEET_ROOT`; `enter_root` goes there, and makes it with `make`.
    static let root = #"""
        fail() { printf '%s\n' "$*"; exit 1; }
        root=$(absolute "$FLEET_ROOT")
        root=${root%/}
        enter_root() { walk "$root/." "$@"; }
        # A link that is not followed is known before anything is done.
        (enter_root && walk "$root/repo/." && walk "$root/releases/.")
        [ $? != 3 ] || exit 1

        """#

    /// `live` prints the commit of the current release, `tell` the facts about it, `unpack` makes a
    /// release's directory whole or not at all.
    ///
    /// A release's directory carries its commit and tag in `.fleet-release`, and `.fleet-live` once it
    /// was still the current one when the next came.
    static let functions = #"""
        current() {
            commit= tag=
            { read -r commit tag <"$root/current/.fleet-release"; } 2>/dev/null
            # Whatever else a link may have put there is no release.
            case $commit in '' | *[!0-9a-f]*) commit= tag= ;; esac
            # A link that somebody else has made does not lead to what was compared, whatever is written there.
            if [ -n "$commit" ]; then
                [ "$(readlink "$root/current")" = "releases/$commit" ] && [ ! -h "$root/releases/$commit" ] ||
                    commit= tag=
            fi
            [ -z "${1:-}${1:+$commit}" ] || echo "$commit"
        }
        live() { current say; }
        # What another tool has put here is not nothing: it may run, and is not ours to remove.
        ours_only() {
            [ -h "$root/current" ] || [ -e "$root/current" ] || return 0
            [ -n "$(live)" ] ||
                fail "E_LAYOUT $root/current leads to $(readlink "$root/current"), and fleet has put no release there: another tool deploys here, or the link was changed. Move \`current\` away, or give \`releases\` another \`path\`"
        }
        # is_ours NAME: whether it is a release in the working directory that fleet has unpacked.
        is_ours() {
            case $1 in *[!0-9a-f]*) return 1 ;; esac
            [ ${#1} -ge 40 ] && [ ! -h "./$1" ] && [ -e "./$1/.fleet-release" ]
        }
        # What of a release's directory is not as it was unpacked, but what all releases share.
        changes() {
            d=$(tree_in "$root/releases/$1"; differences "$1") ||
                fail "E_TREE $root/releases/$1 cannot be compared with its commit: $d"
            [ -z "$d" ] || printf '%s\n' "$d" | unshared
        }
        # What `changes` has printed of a release, and what is in these files now, as one id.
        changes_id() (
            cd "$root/releases/$1" || exit 1
            while IFS= read -r line; do
                printf '%s\n' "$line"
                file=./${line#* * }
                [ -h "$file" ] || [ ! -f "$file" ] || quiet_git hash-object --no-filters -- "$file" || exit 1
            done | quiet_git hash-object --stdin
        )
        tell() {
            ours_only
            current
            if [ -z "$commit" ]; then echo state=absent; return; fi
            echo state=present
            echo "commit=$commit"
            echo "tag=$tag"
        }
        has() { g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null; }
        fetch() {
            if [ -n "$FLEET_TAG" ] && [ -z "${FLEET_GOING_BACK:-}$FLEET_SENT" ] &&
                seen=$(g fetch --quiet --no-tags -- "$FLEET_REPOSITORY" "+refs/tags/$FLEET_TAG:refs/fleet/release" 2>&1)
            then
                # Every host asks for the tag itself: the plan has it from the first one that answered.
                found=$(g rev-parse --verify --quiet refs/fleet/release^{commit})
                [ "$found" = "$FLEET_COMMIT" ] ||
                    fail "E_TAG_DIFFERS to this host $FLEET_TAG is ${found:-nothing}, and to the plan $FLEET_COMMIT"
            fi
            has || {
                if [ -n "$FLEET_TAG" ]; then ref="+refs/tags/$FLEET_TAG:refs/fleet/release"
                else ref='+refs/heads/*:refs/fleet/heads/*'; fi
                seen=$(g fetch --quiet --no-tags -- "$FLEET_REPOSITORY" "$ref" 2>&1) || fail "E_REMOTE fetch: $(cause "$seen")"
            }
            has ||
                fail "E_TAG_MISSING $FLEET_REPOSITORY does not hold $FLEET_COMMIT"
            # Kept whatever happens to tags and branches.
            g update-ref "refs/fleet/releases/$FLEET_COMMIT" "$FLEET_COMMIT"
        }
        # What differs but what releases share, from `differences`.
        unshared() {
            awk -v shared="$FLEET_SHARED" '
                BEGIN { n = split(shared, name, " ") }
                {
                    path = $0
                    sub(/^[a-z]* [0-9]* /, "", path)
                    for (i = 1; i <= n; i++)
                        if (path == name[i] || index(path, name[i] "/") == 1) next
                    print
                }'
        }
        unpack() {
            dir=$root/releases/$1
            if [ -e "$dir/.fleet-release" ]; then
                # What a host goes back to is left as it is: steps of its own time have worked there.
                [ -z "${FLEET_REVERT:-}${FLEET_GOING_BACK:-}" ] || return 0
                d=$(changes "$1") || { printf '%s\n' "$d"; exit 1; }
                # One that somebody has changed is unpacked anew, unless it is what runs.
                [ -n "$d" ] && [ "$(live)" != "$1" ] || return 0
            fi
            writable_commit "$1"
            # Whole commits: what a repository keeps out of its archives is part of a release.
            (walk "$FLEET_PATH/info/." make && echo '* -export-ignore -export-subst' | put attributes) || exit 1
            (
                enter_root make && { [ -d ./releases ] || mkdir ./releases; } && into releases || exit 1
                remove ./.new.[0-9]*
                open_work .new.fleet
                trap 'rm -rf ./new ./new.tar; close_work' EXIT
                rm -rf ./new && mkdir ./new || exit 1
                g archive "$1" >./new.tar && tar -xf ./new.tar -C ./new && rm -f ./new.tar ||
                    fail "E_RELEASE $1 cannot be unpacked into $dir"
                # Archives are not checked by whoever unpacks them.
                d=$(tree_in "$where/new"; differences "$1") ||
                    fail "E_RELEASE $where/new cannot be compared with $1: $d"
                [ -z "$d" ] || fail "E_RELEASE these files are not what $1 holds:
        $(named "$d")"
                for item in $FLEET_SHARED; do share "$item" || exit 1; done
                # The commit may hold a link of that name.
                rm -rf ./new/.fleet-release
                printf '%s %s\n' "$1" "$2" >./new/.fleet-release && remove "../$1" && onto ./new "../$1" || exit 1
            ) || exit 1
        }
        # share ITEM: a link in ./new to what all releases share.
        share() {
            p=./new rest=$1
            while case $rest in */*) ;; *) false ;; esac; do
                p=$p/${rest%%/*}
                rest=${rest#*/}
                [ ! -h "$p" ] || fail "E_RELEASE $1 cannot be shared: in this release ${p#./new/} is a link"
                [ -d "$p" ] || mkdir "$p" || exit 1
            done
            # What the first release brings along is what all of them share from then on.
            if [ -e "./new/$1" ] || [ -h "./new/$1" ]; then
                # Out of a directory that is ours into another one, and never back by a path.
                (cd ./new && tar -cf - "./$1") | (
                    walk "$root/shared/$1" make || exit 1
                    if [ -e "./$name" ] || [ -h "./$name" ]; then
                        cat >/dev/null
                        exit 0
                    fi
                    open_work ".$name.fleet"
                    rm -rf ./new
                    mkdir ./new && tar -xpf - -C ./new && onto "./new/$1" "../$name" && rm -rf ./new && close_work
                ) || exit 1
            else case $1 in */*) (walk "$root/shared/$1" make) || exit 1 ;; esac; fi
            rm -rf "./new/$1"
            ln -s "$root/shared/$1" "./new/$1"
        }

        """#
}
