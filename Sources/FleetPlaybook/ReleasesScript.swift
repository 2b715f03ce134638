/// What `releases` and `switch` have in common on a host.
enum ReleasesScript {
    /// Sets `root` from `FLEET_ROOT`.
    static let root = #"""
        fail() { printf '%s\n' "$*"; exit 1; }
        case "$FLEET_ROOT" in '~/'*) root=$HOME/${FLEET_ROOT#??} ;; *) root=$FLEET_ROOT ;; esac
        root=${root%/}

        """#

    /// `live` prints the commit of the current release, `tell` the facts about it, `unpack` makes a
    /// release's directory whole or not at all.
    ///
    /// A release's directory carries its commit and tag in `.fleet-release`, and `.fleet-live` once it
    /// was still the current one when the next came.
    static let functions = #"""
        live() {
            { read -r commit _ <"$root/current/.fleet-release"; } 2>/dev/null && echo "$commit"
        }
        tell() {
            commit= tag=
            { read -r commit tag <"$root/current/.fleet-release"; } 2>/dev/null
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
            [ ! -e "$dir/.fleet-release" ] || return 0
            writable_commit "$1"
            # Whole commits: what a repository keeps out of its archives is part of a release.
            mkdir -p "$FLEET_PATH/info" && echo '* -export-ignore -export-subst' >"$FLEET_PATH/info/attributes"
            rm -rf "$root"/releases/.new.*
            new=$root/releases/.new.$$
            trap 'rm -rf "$new"' EXIT
            rm -rf "$new" "$dir" && mkdir -p "$new" || exit 1
            g archive "$1" >"$new.tar" && tar -xf "$new.tar" -C "$new" && rm -f "$new.tar" || {
                rm -f "$new.tar"
                fail "E_RELEASE $1 cannot be unpacked into $dir"
            }
            # Archives are not checked by whoever unpacks them.
            d=$(tree_in "$new"; differences "$1") || fail "E_RELEASE $new cannot be compared with $1: $d"
            [ -z "$d" ] || fail "E_RELEASE these files are not what $1 holds:
        $(named "$d")"
            for name in $FLEET_SHARED; do
                case $name in */*) mkdir -p "$new/${name%/*}" "$root/shared/${name%/*}" || exit 1 ;; esac
                # What the first release brings along is what all of them share from then on.
                if [ -e "$new/$name" ] && [ ! -e "$root/shared/$name" ]; then mv "$new/$name" "$root/shared/$name" || exit 1; fi
                rm -rf "$new/$name"
                ln -s "$root/shared/$name" "$new/$name" || exit 1
            done
            printf '%s %s\n' "$1" "$2" >"$new/.fleet-release" && mv "$new" "$dir" || exit 1
        }

        """#
}
