internal import FleetTransport
internal import FleetYAML

/// `checkout: { path: DIRECTORY }` puts the release's commit into a git work tree.
///
/// Objects are fetched in preflight, which touches no work tree, so that the cut-over and the way
/// back need no network. The commit is pinned by its id: never `pull`, never `-f`, never a tag that
/// moved in between.
struct CheckoutStep: ReleaseStepKind {
    static let key = "checkout"
    static let summary = "Checks out the release's commit in a git work tree."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 600_000

    private let path: Template
    private let repository: Template?
    let source: ReleaseSource
    /// Whether local changes are set aside, and come back on the way back, instead of refusing.
    private let stashes: Bool

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`checkout`") else { return nil }
        let pathNode = fields.node("path")
        let repositoryNode = fields.node("repository")
        let path = fields.requiredText("path")
        let repository = fields.text("repository")
        let dirty = fields.text("dirty") ?? "refuse"
        if !["refuse", "stash"].contains(dirty) {
            reader.report(
                "`\(dirty)` is not what can be done about local changes",
                at: fields.location(of: "dirty"),
                hints: ["one of: refuse, stash"]
            )
        }
        stashes = dirty == "stash"
        source = ReleaseSource.read(fields, reader: reader)
        fields.refuseUnknown()
        guard let path, let pathNode else { return nil }
        self.path = Template(path, location: pathNode.location, reader: reader)
        self.repository = repository.flatMap { text in
            repositoryNode.map { Template(text, location: $0.location, reader: reader) }
        }
    }

    func directoryForLaterSteps(in scope: StepScope) throws(UndefinedReference) -> String? {
        try path.value(in: scope)
    }

    private func script(
        _ text: String,
        in scope: StepScope,
        more: [EnvironmentVariable] = []
    ) throws(UndefinedReference) -> Script {
        var scope = scope
        scope.directory = nil
        return try scope.script(
            text: "enter\n" + Self.remote + text,
            library: .git,
            more: more + ReleaseBundle.variables(in: scope) + [
                scope.became,
                EnvironmentVariable("FLEET_PATH", try path.value(in: scope)),
                EnvironmentVariable("FLEET_STASHES", stashes ? "1" : ""),
                EnvironmentVariable(
                    "FLEET_REPOSITORY",
                    source.isController ? "" : try repository?.value(in: scope) ?? ""
                ),
                EnvironmentVariable("FLEET_SENT", source.isController ? "1" : ""),
            ]
        )
    }

    /// Where releases come from: what the playbook names, also where the clone was made from elsewhere; else `origin`,
    /// whose own settings then count.
    private static let remote = #"""
        remote() {
            remote=origin
            [ -z "$FLEET_REPOSITORY" ] || [ "$(g config --get remote.origin.url)" = "$FLEET_REPOSITORY" ] ||
                remote=$FLEET_REPOSITORY
        }
        place() { if [ "$remote" = origin ]; then echo "origin of $FLEET_PATH"; else printf '%s\n' "$remote"; fi; }
        # Python and make tell files apart by size and second: the same second must not bring back what it took away.
        later() {
            [ "$(stat -c %Y "$(g rev-parse --absolute-git-dir)/fleet-tree" 2>/dev/null)" != "$(date +%s)" ] || sleep 1
        }

        """#

    // MARK: Finding releases

    func listing(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(
            """
            command -v git >/dev/null 2>&1 || fail "E_GIT_MISSING git is not installed"
            if [ -e "$FLEET_PATH/.git" ]; then
                remote
                g ls-remote --heads --tags -- "$remote" || fail "E_REMOTE cannot list $(place)"
            elif [ -n "$FLEET_REPOSITORY" ]; then
                quiet_git ls-remote --heads --tags -- "$FLEET_REPOSITORY" ||
                    fail "E_REMOTE cannot list $FLEET_REPOSITORY"
            else
                fail "E_GIT_REPOSITORY $FLEET_PATH is not a git repository"
            fi
            """,
            in: scope
        )
    }

    func holding(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(#"[ ! -e "$FLEET_PATH/.git" ] || holding"#, in: scope)
    }

    // MARK: The step

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            #"""
            command -v git >/dev/null 2>&1 || fail "E_GIT_MISSING git is not installed"
            if [ ! -e "$FLEET_PATH/.git" ]; then
                [ -n "$FLEET_REPOSITORY$FLEET_SENT" ] ||
                    fail "E_GIT_REPOSITORY $FLEET_PATH is not a git repository; clone it there, or give \`checkout\` a \`repository\`"
                [ -z "$(ls -A "$FLEET_PATH" 2>/dev/null)" ] ||
                    fail "E_GIT_REPOSITORY $FLEET_PATH is not a git repository and not empty"
                if [ -n "$FLEET_SENT" ]; then
                    expect
                    echo state=absent
                    exit 0
                fi
                reach
                echo state=absent
                exit 0
            fi
            dir=$(g rev-parse --absolute-git-dir 2>&1) || fail "E_GIT_REPOSITORY $FLEET_PATH: $(cause "$dir")"
            for mark in rebase-merge rebase-apply MERGE_HEAD CHERRY_PICK_HEAD BISECT_LOG index.lock
            do
                [ ! -e "$dir/$mark" ] ||
                    fail "E_GIT_BUSY $FLEET_PATH has an unfinished git operation ($mark)"
            done
            for tool in xargs find cmp sort; do
                command -v $tool >/dev/null 2>&1 || fail "E_CHECKOUT files cannot be compared without $tool: install it"
            done
            [ "$(g config --bool core.sparseCheckout)" != true ] ||
                fail "E_CHECKOUT $FLEET_PATH is a sparse checkout, which never holds a whole release: git sparse-checkout disable"
            before=$(g rev-parse --verify --quiet HEAD) ||
                fail "E_GIT_REPOSITORY $FLEET_PATH has no commit checked out"
            known_release "$before"
            top=$(g rev-parse --show-toplevel) && [ "$(cd "$FLEET_PATH" && pwd -P)" = "$top" ] ||
                fail "E_GIT_REPOSITORY the work tree of $FLEET_PATH is $top (core.worktree)"
            # Reading must not lock: somebody else's rollout may be writing.
            export GIT_OPTIONAL_LOCKS=0
            changed=$(differences HEAD) ||
                fail "E_GIT_REPOSITORY $FLEET_PATH cannot be compared with its commit: $changed"
            index=$(staged HEAD) || fail "E_GIT_REPOSITORY the index of $FLEET_PATH cannot be read"
            if [ -z "${FLEET_GOING_BACK:-}$FLEET_STASHES" ] && [ -n "$changed$index" ]; then
                what="local changes"
                case $(printf '%s\n' "$changed" | grep -v '^mode ')$index in
                '') what="files whose modes were changed, and nothing else of them (chmod)" ;;
                esac
                [ -z "$(g ls-files -v | grep '^[a-zS] ' | head -n 1)" ] ||
                    what="$what, and git is told not to look at some of its files (assume-unchanged, skip-worktree, sparse checkout)"
                fail "E_DIRTY $FLEET_PATH has $what:
            $([ -z "$changed" ] || named "$changed")
            $([ -z "$index" ] || printf '%s\n' "$index" | sed 's/.*/    & (staged)/' | head -n 20)"
            fi
            remote
            lacks=
            # Back to nothing: there is no commit to look for.
            if [ -z "$FLEET_COMMIT" ]; then lacks=yes
            elif [ -n "$FLEET_SENT" ]; then
                g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null || {
                    expect
                    lacks=yes
                }
            else
                has=yes seen=
                g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null || has=
                # Every host asks for the tag itself: the plan has it from the first one that answered.
                if [ -n "$FLEET_TAG" ] && [ -z "${FLEET_GOING_BACK:-}" ]; then
                    if seen=$(g fetch --quiet --no-tags -- "$remote" "+refs/tags/$FLEET_TAG:refs/fleet/release" 2>&1); then
                        found=$(g rev-parse --verify --quiet refs/fleet/release^{commit})
                        [ "$found" = "$FLEET_COMMIT" ] ||
                            fail "E_TAG_DIFFERS at $(place) $FLEET_TAG is, as this host sees it, ${found:-nothing}, and to the plan $FLEET_COMMIT"
                        has=yes
                    elif [ -z "$has" ]; then fail "E_REMOTE fetch: $(cause "$seen")"; fi
                elif [ -z "$has" ]; then
                    if [ -n "$FLEET_TAG" ]; then ref="+refs/tags/$FLEET_TAG:refs/fleet/release"
                    else ref='+refs/heads/*:refs/remotes/origin/*'; fi
                    seen=$(g fetch --quiet --no-tags -- "$remote" "$ref" 2>&1) || fail "E_REMOTE fetch: $(cause "$seen")"
                fi
                g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null ||
                    fail "E_TAG_MISSING $(place) does not hold $FLEET_COMMIT"
            fi
            [ -n "$lacks" ] || writable_commit "$FLEET_COMMIT"
            # Where the commit is still to be sent, git itself refuses to write over anything.
            if [ -z "${FLEET_GOING_BACK:-}$lacks" ]; then
                # read-tree locks the index even when it only tries, so it is given a copy.
                copy=$(mktemp) || fail "E_DISK cannot copy the index"
                if [ ! -e "$dir/index" ]; then rm -f "$copy"
                else cp "$dir/index" "$copy" || fail "E_DISK cannot copy the index"; fi
                clash=$(GIT_INDEX_FILE=$copy g read-tree -n -u -m HEAD "$FLEET_COMMIT" 2>&1) || {
                    # Changes that will be set aside are in nobody's way, nor is what git only takes for one.
                    case "$clash" in *untracked*)
                        rm -f "$copy"
                        fail "E_UNTRACKED $clash" ;;
                    esac
                }
                rm -f "$copy"
                # Ignored files are in nobody's way, says git, and would be overwritten.
                in_the_way=$(changing HEAD "$FLEET_COMMIT" A | there yes | tr '\0' '\n' | head -n 1)
                [ -z "$in_the_way" ] || fail "E_UNTRACKED $in_the_way is there, and in the release, too"
                # git replaces files by removing them, which their directory must let it do; where it
                # may not, it says so and still exits with 0.
                barred=$(changing HEAD "$FLEET_COMMIT" | (cd "$FLEET_PATH" && xargs -0 sh -c '
                    last=
                    for f do
                        case $f in */*) d=./${f%/*} ;; *) d=. ;; esac
                        [ "$d" != "$last" ] || continue
                        last=$d
                        while [ ! -e "$d" ] && [ ! -h "$d" ]; do d=${d%/*}; done
                        if [ ! -d "$d" ] || [ -w "$d" -a -x "$d" ]; then continue; fi
                        printf "%s\n" "    $f"
                    done' sh) | head -n 20)
                [ -z "$barred" ] || fail "E_UNWRITABLE these files will change, and $(id -un) may not write to their directories in $FLEET_PATH:
            $barred"
            fi
            if [ -n "$FLEET_TAG" ] && [ -z "${FLEET_GOING_BACK:-}" ]; then
                here=$(g rev-parse --verify --quiet "refs/tags/$FLEET_TAG^{commit}") || here=
                [ -z "$here" ] || [ "$here" = "$FLEET_COMMIT" ] ||
                    fail "E_TAG_MOVED tag $FLEET_TAG is $here on this host, not $FLEET_COMMIT"
            fi
            files=
            # A way back by hand has the facts of the rollout that it undoes.
            [ -z "$changed$index" ] || files=$(files_id) || [ -n "${FLEET_GOING_BACK:-}" ] ||
                fail "E_GIT_REPOSITORY the local changes of $FLEET_PATH cannot be told apart from others"
            echo "state=present"
            # Tells what this rollout sets aside from what others did.
            echo "look=$(date +%s).$$"
            echo "commit=$before"
            echo "ref=$(g symbolic-ref --quiet HEAD || :)"
            echo "tag=$(g describe --tags --exact-match HEAD 2>/dev/null || :)"
            [ -z "$changed$index" ] || {
                echo dirty=yes
                echo "files=$files"
            }
            """#,
            in: scope
        )
    }

    /// How what was set aside is called; its place in the list of stashes changes with every other one.
    private static let aside = #"""
        aside() {
            g stash list --format='%H %gs' | while read -r id rest; do
                case $rest in *"fleet: set aside on $FLEET_SNAPSHOT_COMMIT${FLEET_SNAPSHOT_LOOK:+ ($FLEET_SNAPSHOT_LOOK)}") echo "$id"; break ;; esac
            done
        }

        """#

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        ReleaseBundle.action(
            try script(
                Self.preparation + #"""
                    has() { g cat-file -e "$FLEET_COMMIT^{commit}" 2>/dev/null; }
                    if [ "${FLEET_SNAPSHOT_STATE:-}" = absent ] && [ ! -e "$FLEET_PATH/.git" ]; then
                        (
                            walk "$FLEET_PATH" make || exit 1
                            remove "./$name.fleet-new"
                            open_work ".$name.fleet"
                            rm -rf ./new
                            if [ -n "$FLEET_SENT" ]; then
                                quiet_git init --quiet ./new || exit 1
                                (FLEET_PATH=$where/new; anchor; receive) || exit 1
                            else quiet_git clone --quiet --no-checkout --origin origin -- "$FLEET_REPOSITORY" ./new ||
                                fail "E_REMOTE cannot clone $FLEET_REPOSITORY"; fi
                            # Nothing is put in place that would be in the way of the next attempt.
                            (FLEET_PATH=$where/new; anchor; has) ||
                                fail "E_TAG_MISSING ${FLEET_REPOSITORY:-what was sent} does not hold $FLEET_COMMIT"
                            rmdir "../$name" 2>/dev/null || :
                            [ ! -e "../$name" ] || fail "E_GIT_REPOSITORY $FLEET_PATH is not empty any more"
                            onto ./new "../$name" && close_work
                        ) || exit 1
                        anchor
                        now=nothing settled=
                    else
                        now=$(g rev-parse --verify HEAD) || exit 1
                        case "$now" in
                        "$FLEET_COMMIT" | "${FLEET_SNAPSHOT_COMMIT:-$now}") ;;
                        *) fail "E_HOST_CHANGED $FLEET_PATH is on $now, but was on $FLEET_SNAPSHOT_COMMIT when this rollout looked" ;;
                        esac
                        free_index
                        has || [ -z "$FLEET_SENT" ] || receive
                        look_at_all
                        if [ "$now" = "${FLEET_SNAPSHOT_COMMIT:-$now}" ] && [ -n "${FLEET_SNAPSHOT_DIRTY:-}" ] && is_changed
                        then
                            g stash push --quiet --message \
                                "fleet: set aside on $now${FLEET_SNAPSHOT_LOOK:+ ($FLEET_SNAPSHOT_LOOK)}" || exit 1
                            echo "local changes were set aside: git stash list"
                        fi
                        settle
                        g update-ref refs/fleet/previous "${FLEET_SNAPSHOT_COMMIT:-$now}" || exit 1
                    fi
                    writable_commit "$FLEET_COMMIT"
                    [ "$now" != "${FLEET_SNAPSHOT_COMMIT:-}" ] || note_added "$now" "$FLEET_COMMIT"
                    [ "$now" = "$FLEET_COMMIT" ] || later
                    g checkout --quiet --no-overwrite-ignore --detach "$FLEET_COMMIT" || exit 1
                    [ "$(g rev-parse HEAD)" = "$FLEET_COMMIT" ] || fail "E_CHECKOUT HEAD is not $FLEET_COMMIT"
                    complete
                    # Git's word is not enough: it exits with 0 when it could not replace a file.
                    must_be "$FLEET_COMMIT"
                    mark "$FLEET_COMMIT"
                    if [ -n "$FLEET_TAG" ]; then g rev-parse --verify --quiet "refs/tags/$FLEET_TAG" >/dev/null ||
                        g update-ref "refs/tags/$FLEET_TAG" "$(tag_object)"; fi
                    echo "$FLEET_PATH: $(label "$now") -> ${FLEET_TAG:-$FLEET_COMMIT}"
                    """#,
                in: scope
            ),
            unless: try script(
                "g cat-file -e \"$FLEET_COMMIT^{commit}\" 2>/dev/null && echo \(Upload.presentMark); exit 0",
                in: scope
            ),
            in: scope
        )
    }

    /// What is done to a work tree before git may change it.
    private static let preparation = #"""
        # Git looks at every file again, also at those that it was told to leave alone.
        look_at_all() {
            g ls-files -v | grep -q '^[a-zS] ' || return 0
            for flag in --no-assume-unchanged --no-skip-worktree; do
                g ls-files -z | g update-index $flag -z --stdin || exit 1
            done
        }
        is_changed() {
            d=$(differences HEAD) || fail "E_GIT_REPOSITORY $FLEET_PATH cannot be compared with its commit: $d"
            [ -n "$d$(staged HEAD)" ]
        }
        # What is as git wrote it, but not as git would take it back, git would call changed for ever, and keep:
        # line ends that a later .gitattributes asks for. It is taken away, and `complete` writes it once more.
        settle() {
            g update-index -q --refresh >/dev/null 2>&1
            settled=$(g diff-files --name-only --ignore-submodules=all | head -n 1)
            [ -n "$settled" ] || return 0
            ! is_changed || fail "E_DIRTY $FLEET_PATH has changed since this rollout looked:
        $(named "$d")"
            g diff-files -z --name-only --ignore-submodules=all | (cd "$FLEET_PATH" && xargs -0 rm -f --)
        }
        complete() { [ -z "$settled" ] || g checkout-index -q -u -a || :; }
        # After what moment a process must have started to run these files.
        mark() { (walk "$(g rev-parse --absolute-git-dir)/." && stamp "$1" | put fleet-tree) || exit 1; }

        """#

    /// Back to the commit recorded before the host was touched, and onto its branch if it was on
    /// one.
    ///
    /// Changes that the rollout's own steps made to tracked files are stashed, never lost; files that its
    /// checkout brought along are taken away.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try script(
                Self.aside + Self.preparation + #"""
                    [ -n "${FLEET_SNAPSHOT_COMMIT:-}" ] || fail "E_NO_PREVIOUS nothing was deployed before"
                    free_index
                    look_at_all
                    dir=$(g rev-parse --absolute-git-dir) || exit 1
                    # Already back, with its changes: nothing to be found any more.
                    if [ "$(g rev-parse HEAD)" = "$FLEET_SNAPSHOT_COMMIT" ] && [ -n "${FLEET_SNAPSHOT_DIRTY:-}" ] &&
                        [ -z "$(aside)" ] && is_changed; then
                        echo "$FLEET_PATH: on $(label "$FLEET_SNAPSHOT_COMMIT"), with its local changes"
                        exit 0
                    fi
                    if is_changed; then
                        g stash push --quiet --message "fleet: found while reverting" || exit 1
                        echo "local changes to tracked files were stashed: git stash list"
                    fi
                    settle
                    [ "$(g rev-parse HEAD)" = "$FLEET_SNAPSHOT_COMMIT" ] || later
                    branch=${FLEET_SNAPSHOT_REF#refs/heads/}
                    if [ -n "$branch" ] &&
                        [ "$(g rev-parse --verify --quiet "$FLEET_SNAPSHOT_REF")" = "$FLEET_SNAPSHOT_COMMIT" ]
                    then g checkout --quiet "$branch" -- || exit 1
                    else g checkout --quiet --detach "$FLEET_SNAPSHOT_COMMIT" || exit 1
                    fi
                    [ "$(g rev-parse HEAD)" = "$FLEET_SNAPSHOT_COMMIT" ] ||
                        fail "E_CHECKOUT HEAD is not $FLEET_SNAPSHOT_COMMIT"
                    complete
                    must_be "$FLEET_SNAPSHOT_COMMIT"
                    if [ -n "${FLEET_LEFT:-}" ] && g cat-file -e "$FLEET_LEFT^{commit}" 2>/dev/null; then
                        remove_added "$FLEET_LEFT" ||
                            fail "E_CHECKOUT what the checkout of $FLEET_LEFT has left in $FLEET_PATH cannot be taken away"
                    fi
                    mark "$FLEET_SNAPSHOT_COMMIT"
                    echo "$FLEET_PATH: back on $(label "$FLEET_SNAPSHOT_COMMIT")"
                    if [ -n "${FLEET_SNAPSHOT_DIRTY:-}" ]; then
                        id=$(aside)
                        if [ -n "$id" ]; then
                            g stash apply --quiet --index "$id" 2>/dev/null || g stash apply --quiet "$id" ||
                                fail "E_STASH the changes that were set aside do not apply: git stash list"
                            for name in $(g stash list --format='%H=%gd'); do
                                [ "${name%%=*}" != "$id" ] || g stash drop --quiet "${name#*=}" || :
                            done
                            echo "the local changes are back"
                        fi
                    fi
                    """#,
                in: scope,
                more: [EnvironmentVariable("FLEET_LEFT", scope.release?.commit ?? "")]
            )
        )
    }

    /// Index and files are what git writes for the commit; what differs is told, so that it can be seen
    /// whether a later step of this rollout wrote it.
    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        let wanted = scope.direction == .revert ? "$FLEET_SNAPSHOT_COMMIT" : "$FLEET_COMMIT"
        return try script(
            scope.unseen + #"""
                now=$(g rev-parse --verify HEAD) || exit 1
                [ "$now" = "\#(wanted)" ] || fail "$FLEET_PATH is on $now, not \#(wanted)"
                export GIT_OPTIONAL_LOCKS=0
                dir=$(g rev-parse --absolute-git-dir) || exit 1
                b= s= c=
                { read -r b s c <"$dir/fleet-tree"; } 2>/dev/null
                [ "$c" != "$now" ] || echo "tell TREE $b $s $(cd "$FLEET_PATH" && pwd -P)"
                if [ -n "${FLEET_REVERT:-}" ] && [ -n "${FLEET_SNAPSHOT_DIRTY:-}" ]; then
                    [ -z "${FLEET_SNAPSHOT_FILES:-}" ] || [ "$(files_id)" = "$FLEET_SNAPSHOT_FILES" ] ||
                        fail "E_TREE the files of $FLEET_PATH are not what they were, local changes included"
                    echo "note=with the local changes that it had before"
                    exit 0
                fi
                d=$(staged "$now") || fail "E_TREE the index of $FLEET_PATH cannot be read"
                [ -z "$d" ] || fail "E_TREE the index of $FLEET_PATH is not that of $now: $(printf '%s ' $d)"
                d=$(differences "$now") || fail "E_TREE $FLEET_PATH cannot be compared with $now: $d"
                [ -z "$d" ] || printf '%s\n' "$d" | sed 's/^/changed /'
                echo "$FLEET_PATH is on $(label "$now")"
                """#,
            in: scope
        )
    }

    /// The work tree is moved aside: what the service has written into it meanwhile is not ours to
    /// delete.
    func removal(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(
            try script(
                """
                [ "${FLEET_SNAPSHOT_STATE:-}" = absent ] || fail "E_NO_PREVIOUS something ran here before"
                [ -e "$FLEET_PATH" ] || exit 0
                there=$FLEET_PATH.fleet-removed
                [ ! -e "$there" ] || there=$there-$(date -u +%Y%m%dT%H%M%SZ)
                walk "$FLEET_PATH" && [ ! -e "./${there##*/}" ] && onto "./$name" "./${there##*/}" || exit 1
                echo "$FLEET_PATH: moved to $there"
                """,
                in: scope
            )
        )
    }

    func absence(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(
            """
            [ ! -e "$FLEET_PATH" ] || fail "$FLEET_PATH is still there"
            echo "$FLEET_PATH is gone, as it was before"
            """,
            in: scope
        )
    }

    func reading(in scope: StepScope) throws(UndefinedReference) -> Script {
        try script(
            #"""
            command -v git >/dev/null 2>&1 || fail "E_GIT_MISSING git is not installed"
            if [ ! -e "$FLEET_PATH/.git" ]; then echo state=absent; exit 0; fi
            now=$(g rev-parse --verify HEAD 2>&1) || fail "E_GIT_REPOSITORY $FLEET_PATH: $(cause "$now")"
            export GIT_OPTIONAL_LOCKS=0
            echo "commit=$now"
            echo "tag=$(g describe --tags --exact-match HEAD 2>/dev/null || :)"
            d=$(differences HEAD) || fail "E_GIT_REPOSITORY $FLEET_PATH cannot be compared with its commit: $d"
            if [ -n "$d$(staged HEAD)" ]; then echo state=dirty; else echo state=present; fi
            """#,
            in: scope
        )
    }
}
