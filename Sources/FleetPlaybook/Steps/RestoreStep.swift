internal import FleetTransport
internal import FleetYAML

/// `restore: { database: PATH, directory: PATH, from: NAME }` puts a backup in a database's place;
/// with `command` and `save` instead, gives it to a command that takes it in.
///
/// The service must not run meanwhile: stop it in a step before. What was replaced is kept, and the
/// way back puts it there again.
struct RestoreStep: StepKind {
    static let key = "restore"
    static let summary =
        "Puts a checked backup in an SQLite database's place, or gives it to a command, and keeps what was there."
    static let isIdempotent = false
    static let defaultTimeoutMilliseconds = 600_000

    private let source: BackupSource
    /// Writes out what is about to be replaced, for a command.
    private let save: Template?
    private let directory: Template
    private let from: Template

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`restore`") else { return nil }
        let source = BackupSource.read(fields, at: node.location, reader: reader)
        let save = fields.text("save")
        let directory = fields.requiredText("directory")
        let from = fields.text("from") ?? "newest"
        if let source, source.isCommand != (save != nil) {
            reader.report(
                source.isCommand
                    ? "`command` needs `save`: what it replaces is kept"
                    : "`save` goes with `command`",
                at: fields.location(of: source.isCommand ? "command" : "save"),
                hints: ["`save` writes everything to standard output, as the backup's command does"]
            )
        }
        fields.refuseUnknown()
        guard let source, let directory else { return nil }
        func template(_ text: String) -> Template {
            Template(text, location: node.location, reader: reader)
        }
        self.source = source
        self.save = save.map(template)
        self.directory = template(directory)
        self.from = template(from)
    }

    let isUndoable = true

    private func script(_ text: String, in scope: StepScope) throws(UndefinedReference) -> Script {
        try scope.script(
            text: Self.moves
                + #"""
                # What preflight looked at, and not what has come since.
                [ -z "${FLEET_SNAPSHOT_BACKUP:-}" ] || FLEET_FROM=$FLEET_SNAPSHOT_BACKUP
                enter_directory || fail "E_NO_BACKUP there is no backup in $directory"
                case $FLEET_FROM in newest)
                    file=$(backups ours | head -n 1)
                    [ -n "$file" ] || [ -z "$(backups)" ] ||
                        fail "E_NO_BACKUP $directory holds backups of other databases or hosts only: name one with \`from\`" ;; *) file=$FLEET_FROM ;; esac
                case $file in '' ) fail "E_NO_BACKUP there is no backup in $directory" ;;
                */* | .*) fail "E_NO_BACKUP $file is not the name of a backup" ;; esac
                [ -f "./$file" ] || [ ! -f "./$file.gz" ] || file=$file.gz
                backup=$directory/$file
                from_backups() (enter_directory && reading "$@")
                # unpack FILE, in a directory of our own.
                unpack() {
                    [ -f "$backup" ] || fail "E_NO_BACKUP there is no $backup"
                    from_backups "./$file" gzip -t 2>/dev/null || fail "E_BACKUP_CORRUPT $backup cannot be unpacked"
                    said=$(from_backups "./$file" gzip -dc 2>&1 >"$1") ||
                        fail "E_DISK $backup cannot be unpacked here: $said"
                    wanted=$(from_backups "./$file.sum" cat 2>/dev/null)
                    [ "$(sum "$1")" = "${wanted%% *}" ] ||
                        fail "E_BACKUP_CORRUPT $backup is not what was backed up (SHA-256)"
                    sound "$1" || fail "E_BACKUP_CORRUPT $backup holds no sound database"
                }

                """# + text,
            library: .backup,
            more: try variables(in: scope) + [
                EnvironmentVariable("FLEET_FROM", try from.value(in: scope))
            ]
        )
    }

    private func variables(in scope: StepScope) throws(UndefinedReference) -> [EnvironmentVariable]
    {
        let (text, used) = try save?.shell(in: scope) ?? ("", [])
        return try scope.placing() + source.variables(in: scope) + used + [
            EnvironmentVariable("FLEET_SAVE", text),
            EnvironmentVariable("FLEET_DIRECTORY", try directory.value(in: scope)),
        ]
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            #"""
            [ -z "${FLEET_GOING_BACK:-}" ] || exit 0
            open_work ".fleet.$FLEET_HOST"
            scratch=./scratch
            trap 'rm -f ./scratch ./scratch-*; close_work' EXIT
            unpack "$scratch"
            if [ -n "$database" ] && [ -s "$database" ]; then
                schema=$(sql "$scratch" 'PRAGMA user_version')
                case $schema in '' | *[!0-9]*) fail "E_BACKUP_CORRUPT the schema of $file cannot be read" ;; esac
                ours=$(live sql "$database" 'PRAGMA user_version' 2>&1)
                case $ours in
                *'not a database'* | *malformed*) ;;
                '' | *[!0-9]*) fail "E_DATABASE the schema of $database cannot be read: $ours" ;;
                *) [ "$schema" -le "$ours" ] ||
                    fail "E_SCHEMA_NEWER $file has schema $schema, and what runs now has $ours: deploy its release first" ;;
                esac
            fi
            echo "backup=$file"
            [ -z "$database" ] || [ -e "$database" ] || echo database=absent
            # A place of this rollout's own: what stands aside from earlier ones is not ours to put back.
            if [ -n "$database" ]; then there=$database.replaced; else there=$directory/replaced; fi
            there=$there-$(date -u +%Y%m%dT%H%M%SZ) i=0
            while [ -e "$there" ] || [ -e "$there.gz" ]; do i=$((i + 1)) there=${there%%+*}+$i; done
            echo "aside=$there"
            """#,
            in: scope
        )
    }

    /// What was replaced stands in `FLEET_SNAPSHOT_ASIDE`, a place that preflight has chosen: beside the
    /// database, so that every move is a rename, or packed beside the backups.
    private static let moves = #"""
        # A database that somebody has open would be written to behind our back; under whatever name, because a
        # container or a bind mount has its own.
        unused() {
            [ / -ef / ] 2>/dev/null || fail "E_DATABASE this host's sh cannot tell whether files are the same (test -ef)"
            # To look at an open file of a file system that hangs is to hang: the kernel has its number (proc(5),
            # fdinfo, since Linux 5.14), and only those with the right one are looked at.
            if grep -q '^ino:' /proc/self/fdinfo/0 2>/dev/null; then
                for part in "$1" "$1-wal"; do
                    n=$(stat -c %i "$part" 2>/dev/null) || continue
                    for f in $(find /proc/[0-9]*/fdinfo -type f -exec grep -lx "ino:[[:space:]]*$n" {} + 2>/dev/null); do
                        if [ "${f%/fdinfo/*}/fd/${f##*/}" -ef "$part" ]; then return 1; fi
                    done
                done
            else
                for f in /proc/[0-9]*/fd/*; do
                    if [ "$f" -ef "$1" ] || [ "$f" -ef "$1-wal" ]; then return 1; fi
                done
            fi
            # Other accounts' processes show only root what they have open; SQLite's own locks show everybody
            # (https://www.sqlite.org/lockingv3.html; in write-ahead mode whoever has it open holds one).
            [ -z "$python" ] || [ ! -s "$1" ] || live locks "$1"
        }
        locks() {
            $run "$python" -I -c 'import fcntl, sys
        with open(sys.argv[1], "rb+") as f: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)' "$1" 2>/dev/null
        }
        # stand_aside: in the directory of the database, enters what is kept beside it.
        stand_aside() {
            aside=${there##*/}
            open_work "$aside"
        }
        # The database itself moves last, both ways: while it is there, nothing is lost yet.
        move() {
            for part in -wal -shm -journal ''; do
                { [ ! -e "$1$part" ] && [ ! -h "$1$part" ]; } || onto "$1$part" "$2$part" || exit 1
            done
        }

        """#

    /// In the directory of the database, as whom it belongs to: takes the place of what is there with what comes on
    /// standard input.
    private static let putting = #"""
        walk "$database" || fail "E_NO_DATABASE there is no directory for $database"
        open_work ".$name.fleet"
        trap 'rm -f ./new ./new-*; close_work' EXIT
        cat >./new && [ "$(sum ./new)" = "$FLEET_SUM" ] || fail "E_DISK the backup does not arrive beside $database"
        [ ! -e "../${there##*/}" ] || fail "E_RESTORE $there is there already"
        # All of it about one open file: the name may stand for another one a moment later.
        told() { stat -L -c '%u:%g %a' /dev/stdin 2>/dev/null || :; }
        if [ -e "../$name" ]; then
            set -- $(reading "../$name" told)
            if [ $# = 2 ]; then
                chown "$1" ./new 2>/dev/null || [ -n "${FLEET_BY_OWNER:-}" ] ||
                    fail "E_RESTORE $(id -un) cannot give a file to $1, to whom $database belongs"
                chmod "$(plain_mode "$2")" ./new || exit 1
            fi
        fi
        (
            cd -P .. && where=${where%/*} || exit 1
            stand_aside
            move "../$name" ./data
            : >./moved
        ) || exit 1
        onto ./new "../$name" || exit 1

        """#

    /// The way back of that.
    private static let puttingBack = #"""
        walk "$database" || fail "E_RESTORE there is no directory for $database"
        [ ! -d "./.$name.fleet" ] || (open_work ".$name.fleet"; rm -f ./new ./new-*; close_work)
        [ -d "./${there##*/}" ] || exit 0
        (
            stand_aside
            if [ -e ./moved ] && [ ! -e ./going-back ]; then
                # The whole of it was moved: what stands there now is the backup's.
                rm -f "../$name" "../$name-wal" "../$name-shm" "../$name-journal"
                : >./going-back || exit 1
            fi
            move ./data "../$name"
        ) || exit 1
        [ -e "$database" ] || [ "${FLEET_SNAPSHOT_DATABASE:-}" = absent ] ||
            fail "E_RESTORE $database is not back; what there is stands in $there"
        remove "./${there##*/}"
        echo "$database is back"

        """#

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(
            try script(
                #"""
                there=${FLEET_SNAPSHOT_ASIDE:?}
                if [ -z "$database" ]; then
                    open_work ".fleet.$FLEET_HOST"
                    trap 'rm -f ./new ./saved ./saved.gz; close_work' EXIT
                    unpack ./new
                    theirs "$FLEET_SAVE" </dev/null >./saved && [ -s ./saved ] &&
                        gzip -f ./saved && onto ./saved.gz "../${there##*/}.gz" ||
                        fail "E_RESTORE what is to be replaced cannot be saved; nothing was restored"
                    sync "../${there##*/}.gz" 2>/dev/null || sync
                    theirs "$FLEET_COMMAND" <./new || fail "E_RESTORE the command does not take $file in"
                    echo "restored $file; what was there is in $there.gz"
                    exit
                fi
                unused "$database" || fail "E_IN_USE a process has $database open: stop the service before"
                [ -d "${database%/*}/" ] || fail "E_NO_DATABASE there is no directory for $database"
                open_work ".fleet.$FLEET_HOST"
                trap 'rm -f ./new ./new-*; close_work' EXIT
                unpack ./new
                # Unpacking takes its time.
                unused "$database" || fail "E_IN_USE a process has $database open: stop the service before"
                FLEET_SUM=$(sum ./new)
                export FLEET_SUM
                by_owner \#(ShellWord.quote(Self.moves + Self.putting)) <./new || exit 1
                live sound "$database" || fail "E_RESTORE $database is not sound"
                echo "restored $file; what was there is in $there"
                """#,
                in: scope
            )
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard !source.isCommand else { return nil }
        return try scope.script(
            text: #"""
                [ "${FLEET_REVERT:-}${FLEET_SNAPSHOT_DATABASE:-}" != 1absent ] || {
                    [ ! -e "$database" ] || fail "$database was not there before"
                    exit 0
                }
                live sound "$database" || fail "$database is not sound"
                """#,
            library: .backup,
            more: try variables(in: scope)
        )
    }

    /// What this rollout has moved aside comes back; what an earlier restore had is left alone.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try scope.script(
                text: Self.moves
                    + #"""
                    there=${FLEET_SNAPSHOT_ASIDE:?}
                    if [ -z "$database" ]; then
                        [ -e "$there.gz" ] || exit 0
                        enter_directory || exit 1
                        open_work ".fleet.$FLEET_HOST"
                        trap 'rm -f ./new; close_work' EXIT
                        (enter_directory && reading "./${there##*/}.gz" gzip -dc) >./new && theirs "$FLEET_COMMAND" <./new ||
                            fail "E_RESTORE what was replaced cannot be put back: it is in $there.gz"
                        echo "what was there is back"
                        exit
                    fi
                    by_owner \#(ShellWord.quote(Self.moves + Self.puttingBack))
                    """#,
                library: .backup,
                more: try variables(in: scope)
            )
        )
    }
}
