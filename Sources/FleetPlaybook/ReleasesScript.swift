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
            has || {
                if [ -n "$FLEET_TAG" ]; then ref="+refs/tags/$FLEET_TAG:refs/fleet/release"
                else ref='+refs/heads/*:refs/fleet/heads/*'; fi
                seen=$(g fetch --quiet --no-tags -- "$FLEET_REPOSITORY" "$ref" 2>&1) || fail "E_REMOTE fetch: $seen"
            }
            has ||
                fail "E_TAG_MISSING $FLEET_REPOSITORY does not hold $FLEET_COMMIT"
            # Kept whatever happens to tags and branches.
            g update-ref "refs/fleet/releases/$FLEET_COMMIT" "$FLEET_COMMIT"
        }
        unpack() {
            dir=$root/releases/$1
            [ ! -e "$dir/.fleet-release" ] || return 0
            ! g cat-file -e "$1:.gitmodules" 2>/dev/null ||
                fail "E_SUBMODULES $1 has submodules, which are not unpacked"
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
