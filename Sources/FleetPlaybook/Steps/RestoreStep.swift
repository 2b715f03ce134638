internal import FleetTransport
internal import FleetYAML

/// `restore: { database: PATH, directory: PATH, from: NAME }` puts a backup in a database's place.
///
/// The service must not run meanwhile: stop it in a step before. What was replaced is kept, and the
/// way back puts it there again.
struct RestoreStep: StepKind {
    static let key = "restore"
    static let summary =
        "Puts a checked backup in an SQLite database's place, and keeps what was there."
    static let isIdempotent = false
    static let defaultTimeoutMilliseconds = 600_000

    private let database: Template
    private let directory: Template
    private let from: Template

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`restore`") else { return nil }
        let database = fields.requiredText("database")
        let directory = fields.requiredText("directory")
        let from = fields.text("from") ?? "newest"
        fields.refuseUnknown()
        guard let database, let directory else { return nil }
        func template(_ text: String) -> Template {
            Template(text, location: node.location, reader: reader)
        }
        self.database = template(database)
        self.directory = template(directory)
        self.from = template(from)
    }

    let isUndoable = true

    private func script(_ text: String, in scope: StepScope) throws(UndefinedReference) -> Script {
        try scope.script(
            text: BackupScript.functions
                + #"""
                case $FLEET_FROM in newest) file=$(backups | sort -r | head -n 1) ;; *) file=$FLEET_FROM ;; esac
                case $file in '' ) fail "E_NO_BACKUP there is no backup in $directory" ;;
                */* | .*) fail "E_NO_BACKUP $file is not the name of a backup" ;; esac
                [ -f "$directory/$file" ] || [ ! -f "$directory/$file.gz" ] || file=$file.gz
                backup=$directory/$file
                unpack() {
                    [ -f "$backup" ] || fail "E_NO_BACKUP there is no $backup"
                    gzip -dc "$backup" >"$1" 2>/dev/null || fail "E_BACKUP_CORRUPT $backup cannot be unpacked"
                    wanted=
                    { read -r wanted _ <"$backup.sum"; } 2>/dev/null
                    [ "$(sum "$1")" = "$wanted" ] ||
                        fail "E_BACKUP_CORRUPT $backup is not what was backed up (SHA-256)"
                    sound "$1" || fail "E_BACKUP_CORRUPT $backup holds no sound database"
                }

                """# + text,
            more: [
                EnvironmentVariable("FLEET_DATABASE", try database.value(in: scope)),
                EnvironmentVariable("FLEET_DIRECTORY", try directory.value(in: scope)),
                EnvironmentVariable("FLEET_FROM", try from.value(in: scope)),
            ]
        )
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try script(
            #"""
            scratch=$(mktemp) || exit 1
            trap 'rm -f "$scratch" "$scratch"-*' EXIT
            unpack "$scratch"
            theirs=$(sql "$scratch" 'PRAGMA user_version')
            if [ -f "$database" ]; then
                ours=$(sql "$database" 'PRAGMA user_version') || ours=
                case $ours in '' | *[!0-9]*) ;; *) [ "$theirs" -le "$ours" ] ||
                    fail "E_SCHEMA_NEWER $file has schema $theirs, and what runs now has $ours: deploy its release first" ;;
                esac
            fi
            echo "backup=$file"
            """#,
            in: scope
        )
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(
            try script(
                #"""
                new=$database.fleet-new replaced=$directory/replaced_$(date -u +%Y%m%dT%H%M%SZ)
                trap 'rm -f "$new"' EXIT
                unpack "$new"
                mkdir -p "$replaced" || exit 1
                # Written down before it is done, for the way back.
                printf '%s\n' "$replaced" >"$directory/.replaced" || exit 1
                for part in "$database" "$database-wal" "$database-shm" "$database-journal"; do
                    [ ! -e "$part" ] || mv "$part" "$replaced/" || exit 1
                done
                mv "$new" "$database" || exit 1
                sound "$database" || fail "E_RESTORE $database is not sound"
                echo "restored $file; what was there is in $replaced"
                """#,
                in: scope
            )
        )
    }

    func verification(in scope: StepScope) throws(UndefinedReference) -> Script? {
        try scope.script(
            text: BackupScript.functions
                + #"sound "$database" || fail "$database is not sound""#,
            more: [
                EnvironmentVariable("FLEET_DATABASE", try database.value(in: scope)),
                EnvironmentVariable("FLEET_DIRECTORY", try directory.value(in: scope)),
            ]
        )
    }

    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        .script(
            try scope.script(
                text: BackupScript.functions
                    + #"""
                    replaced=
                    { read -r replaced <"$directory/.replaced"; } 2>/dev/null
                    base=${database##*/}
                    [ -n "$replaced" ] && [ -e "$replaced/$base" ] || exit 0
                    rm -f "$database" "$database-wal" "$database-shm" "$database-journal"
                    for part in "" -wal -shm -journal; do
                        [ ! -e "$replaced/$base$part" ] || mv "$replaced/$base$part" "$database$part" || exit 1
                    done
                    rmdir "$replaced" 2>/dev/null
                    rm -f "$directory/.replaced"
                    echo "$database is back"
                    """#,
                more: [
                    EnvironmentVariable("FLEET_DATABASE", try database.value(in: scope)),
                    EnvironmentVariable("FLEET_DIRECTORY", try directory.value(in: scope)),
                ]
            )
        )
    }
}
