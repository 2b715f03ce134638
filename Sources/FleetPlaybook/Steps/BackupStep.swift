internal import FleetTransport
internal import FleetYAML

/// `backup: { database: PATH, directory: PATH }` backs an SQLite database up while it is in use;
/// with `command` instead, whatever that writes.
///
/// The backup is checked by taking it apart again before it gets its name. Old ones are removed by
/// age, but never the newest few, and never one that was made of the release that runs now.
struct BackupStep: StepKind {
    static let key = "backup"
    static let summary =
        "Backs up an SQLite database in use, or what a command writes, and checks the backup by taking it apart."
    static let isIdempotent = true
    static let defaultTimeoutMilliseconds = 600_000

    private let source: BackupSource
    private let directory: Template
    /// The directory as it is written, if a command says what there is to keep; nil for a database.
    let commandDirectory: String?
    private let app: Template?
    private let keep: Int
    private let days: Int

    init?(_ node: YAMLNode, reader: YAMLReader) {
        guard let fields = reader.fields(node, of: "`backup`") else { return nil }
        let source = BackupSource.read(fields, at: node.location, reader: reader)
        let directory = fields.requiredText("directory")
        let app = fields.text("app")
        keep = fields.number("keep", in: 1...10_000) ?? 7
        days = (fields.milliseconds("older_than") ?? 30 * 86_400_000) / 86_400_000
        fields.refuseUnknown()
        guard let source, let directory else { return nil }
        func template(_ text: String) -> Template {
            Template(text, location: node.location, reader: reader)
        }
        self.source = source
        commandDirectory = source.isCommand ? directory : nil
        self.directory = template(directory)
        self.app = app.map(template)
    }

    private func script(_ text: String, in scope: StepScope) throws(UndefinedReference) -> Script {
        try scope.script(
            text: text,
            library: .backup,
            more: try scope.placing() + source.variables(in: scope) + [
                EnvironmentVariable("FLEET_DIRECTORY", try directory.value(in: scope)),
                EnvironmentVariable("FLEET_APP", try app?.value(in: scope) ?? ""),
                EnvironmentVariable("FLEET_KEEP", String(keep)),
                EnvironmentVariable("FLEET_DAYS", String(days)),
            ]
        )
    }

    func preflight(in scope: StepScope) throws(UndefinedReference) -> Script? {
        guard !source.isCommand else { return nil }
        return try script(
            """
            [ -z "${FLEET_GOING_BACK:-}" ] || exit 0
            [ -f "$database" ] || fail "E_NO_DATABASE $database is not there"
            # The copy, what is packed, and what is unpacked again to see.
            size=$(($(wc -c <"$database") / 1024 * 3))
            place=$directory
            while [ ! -d "$place" ]; do place=$(dirname "$place"); done
            free=$(df -Pk "$place" | awk 'NR == 2 { print $4 }')
            case $free in '' | *[!0-9]*) ;; *) [ "$free" -gt "$size" ] ||
                fail "E_DISK a backup of $database needs $size KiB, and $free are free in $place" ;; esac
            """,
            in: scope
        )
    }

    func action(in scope: StepScope) throws(UndefinedReference) -> Action {
        .script(
            try script(
                #"""
                [ -z "$database" ] || [ -s "$database" ] || fail "E_NO_DATABASE $database is not there"
                enter_directory make || fail "E_BACKUP $directory cannot be made"
                # Left by a run that was killed; hosts are locked, so there is no other one.
                rm -f ./.new.* ./.scratch.*
                open_work ".fleet.$FLEET_HOST"
                tidy() { rm -f ./new ./new-* ./new.gz ./scratch ./scratch-* ./sum; close_work; }
                trap tidy EXIT
                new=./new scratch=./scratch
                what=${database:-what the command backs up}
                copy "$new" || fail "E_BACKUP $what cannot be copied"
                sound "$new" || fail "E_BACKUP the copy of $what is not sound"
                schema=none
                [ -z "$database" ] || schema=$(sql "$new" 'PRAGMA user_version') || exit 1
                gzip -c "$new" >"$new.gz" || exit 1
                gzip -dc "$new.gz" >"$scratch" && [ "$(sum "$scratch")" = "$(sum "$new")" ] &&
                    sound "$scratch" || fail "E_BACKUP what was packed cannot be unpacked"
                live=
                if [ -n "$FLEET_APP" ]; then
                    app=$(absolute "$FLEET_APP")
                    if [ -e "$app/current/.fleet-release" ]; then
                        # As whom the release belongs to: its file may be a link to somebody else's.
                        said=$(
                            whose=$(itself "$app/current/.")
                            whose=${whose%% *} as=
                            [ "$me" != 0 ] || [ "${whose:-0}" = 0 ] || as_account "$whose"
                            $as cat "$app/current/.fleet-release" 2>/dev/null | head -n 1
                        )
                        commit=${said%% *} tag=
                        case $said in *' '*) tag=${said#* } ;; esac
                        case $tag in *[!A-Za-z0-9._+-]*) tag= ;; esac
                        case $commit in '' | *[!0-9a-f]*) ;; *) live=${tag:-$(printf %.12s "$commit")} ;; esac
                    elif [ -e "$app/.git" ]; then
                        # As whom the repository belongs to: it may name programs, which are nobody else's to run.
                        named() (
                            set -- "$(itself "$app/.git")" "$@"
                            whose=${1%% *}
                            shift
                            as=
                            [ "$me" != 0 ] || [ "${whose:-0}" = 0 ] || as_account "$whose"
                            unset \#(GitSettings.cleared.joined(separator: " "))
                            GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none $as git -c core.fsmonitor=false \
                                -c core.hooksPath=/dev/null --no-pager -C "$app" "$@" 2>/dev/null
                        )
                        live=$(named describe --tags --exact-match || named rev-parse --short=12 HEAD) || live=unknown
                    fi
                fi
                live=$(printf %s "${live:-none}" | tr -c 'A-Za-z0-9._+-' -)
                # A name that is taken stays whose it is, also where hosts share the directory.
                i=0
                while
                    name=$(date -u +%Y%m%dT%H%M%SZ)_$live.gz
                    [ -e "../$name" ] || ! (set -C; : >"../$name.sum") 2>/dev/null
                do
                    i=$((i + 1))
                    [ $i -lt 30 ] || fail "E_BACKUP no name is free in $directory: $name is there already"
                    sleep 1
                done
                last=$(
                    cd .. && for file in *.gz.sum; do
                        { IFS= read -r said <"./$file"; } 2>/dev/null || continue
                        case " $said" in *' n='*) said=${said##* n=} && printf '%s\n' "${said%% *}" ;; esac
                    done | sort -n | tail -n 1
                )
                case $last in '' | *[!0-9]* | 0* | ????????????????*) last=0 ;; esac
                printf '%s schema=%s bytes=%s n=%s of=%s host=%s\n' "$(sum "$new")" "$schema" \
                    "$(($(wc -c <"$new")))" "$((last + 1))" "$subject" "$FLEET_HOST" >./sum &&
                    onto ./sum "../$name.sum" && onto "$new.gz" "../$name" || exit 1
                sync "../$name" 2>/dev/null || sync
                size=$(($(wc -c <"$new")))
                trap - EXIT
                tidy
                echo "backup=$directory/$name"
                # Much less than last time is no reason to remove what is more.
                before=$(backups ours | sed -n 2p)
                if [ -n "$before" ]; then
                    was=$(sed -n 's/.* bytes=\([0-9]*\).*/\1/p' "./$before.sum" 2>/dev/null)
                    if [ "${was:-0}" -gt $((size * 2)) ]; then
                        echo "WARNING: this backup holds $size bytes, and the last one $was: nothing old is removed"
                        backups ours
                        exit 0
                    fi
                fi
                [ "$live" != unknown ] || {
                    echo "WARNING: git cannot tell which release runs in $app: nothing old is removed"
                    backups ours
                    exit 0
                }
                old=$(backups ours | tail -n "+$((FLEET_KEEP + 1))")
                for file in $old; do
                    case $file in *_none.gz) ;; *"_$live.gz") continue ;; esac
                    [ -z "$(find "./$file" -mtime "+$FLEET_DAYS")" ] || {
                        rm -f "./$file" "./$file.sum"
                        echo "removed $file, older than $FLEET_DAYS days"
                    }
                done
                backups ours
                """#,
                in: scope
            )
        )
    }

    /// A backup more is no harm.
    func revertAction(in scope: StepScope, isIdempotent: Bool) throws(UndefinedReference)
        -> Action?
    {
        nil
    }
}
