internal import FleetTransport
internal import FleetYAML

/// What is backed up: an SQLite database, or what a command writes.
enum BackupSource: Sendable {
    /// An SQLite database's path.
    case database(Template)
    /// A command that writes everything to standard output, or takes it from standard input, and one
    /// that exits with 0 only if what it reads is whole.
    case command(Template, check: Template?)

    /// Reads `database`, or `command` and `check`; nil after reporting what is wrong.
    static func read(_ fields: YAMLFields, at location: SourceLocation, reader: YAMLReader)
        -> BackupSource?
    {
        func template(_ key: String) -> Template? {
            let place = fields.node(key)?.location ?? location
            return fields.node(key).flatMap { node in
                reader.filledText(node, of: "`\(key)`", isScript: true).map {
                    Template($0, location: place, reader: reader)
                }
            }
        }
        let database = template("database")
        let command = template("command")
        let check = template("check")
        switch (database, command) {
        case (let database?, nil):
            if check != nil {
                reader.report(
                    "`check` goes with `command`; a database is checked anyway",
                    at: fields.location(of: "check")
                )
            }
            return .database(database)
        case (nil, let command?): return .command(command, check: check)
        default:
            reader.report(
                "either a `database` or a `command` says what there is to keep",
                at: location
            )
            return nil
        }
    }

    /// What ``BackupScript/functions`` need of it; the values of references, too.
    func variables(in scope: StepScope) throws(UndefinedReference) -> [EnvironmentVariable] {
        switch self {
        case .database(let path):
            return [EnvironmentVariable("FLEET_DATABASE", try path.value(in: scope))]
        case .command(let command, let check):
            let (text, used) = try command.shell(in: scope)
            let (checkText, more) = try check?.shell(in: scope) ?? ("", [])
            return used + more + [
                EnvironmentVariable("FLEET_DATABASE", ""),
                EnvironmentVariable("FLEET_COMMAND", text),
                EnvironmentVariable("FLEET_CHECK", checkText),
            ]
        }
    }

    var isCommand: Bool { if case .command = self { true } else { false } }
}

/// What backing up and restoring have in common on a host.
///
/// A backup is one file, `20261125T214400Z_v1.2.0.gz`, with what is known of it beside it as `….sum`: its SHA-256,
/// the database's schema version, its number, and whose it is. The number says which is the newest: a clock that
/// was ahead once would say it for ever.
enum BackupScript {
    /// Shell functions; `FLEET_DATABASE` and `FLEET_DIRECTORY` are paths.
    ///
    /// Without a database `FLEET_COMMAND` writes a backup or takes one in, and `FLEET_CHECK` looks at
    /// one.
    ///
    /// SQLite is reached through its own program or Python's module: a copy of a database that is
    /// being written to is no database, its own online backup is. `E_SQLITE` if there is neither.
    static let functions =
        HostTools.surroundings + SafePath.functions + HostTools.sha256 + #"""
            set -u
            umask 077
            fail() { echo "$1"; exit 1; }
            # Playbook's commands run where the step does.
            began=$(pwd) directory=$(absolute "$FLEET_DIRECTORY") database=$FLEET_DATABASE
            as= run=
            enter_directory() { walk "$directory/." "$@"; }
            # The database itself: a link to it is left alone, and the kernel speaks of no links. SQLite opens files
            # beside it, through any link: where others could put one there, it runs as whom the database belongs to.
            if [ -n "$database" ]; then
                database=$(absolute "$database")
                found=$(resolve "$database")
                case $? in 0) database=${found#* } ;; 3) exit 1 ;; *) fail "E_NO_DATABASE there is no directory for $database" ;; esac
                actor=${found%% *}
                if [ "$me$actor" = 00 ]; then
                    actor=$(
                        walk "$database" && ! is_safe_all || exit 0
                        set -- $(itself "./$name") 0
                        # Root's own, where others may change names: whoever that is.
                        while [ "$1" = 0 ]; do
                            set -- $(itself .) 0
                            [ "$1" = 0 ] || break
                            [ "$(env pwd -P)" != / ] || { echo none; exit 0; }
                            cd -P ..
                        done
                        echo "$1"
                    )
                    [ "$actor" != none ] ||
                        no_link "others may put files beside $database: let the step act as the account that uses it (become_user)"
                    actor=${actor:-0}
                fi
                [ "$actor" = "$me" ] || as_account "$actor"
            fi
            # With its module, and nothing of the directory that it is started in (-I).
            python=$(command -v python3 || command -v python || :)
            [ -z "$python" ] || "$python" -I -c 'import sqlite3, urllib.parse; sqlite3.Connection.backup' 2>/dev/null || python=
            [ -z "$database" ] || command -v sqlite3 >/dev/null || [ -n "$python" ] ||
                fail "E_SQLITE neither sqlite3 nor python3 with its module is installed"
            # live COMMAND…: the command, as whom the database belongs to.
            live() (run=$as; "$@")
            # by_owner TEXT: the text, with these functions, as whom the database belongs to. Whoever that is has said where
            # the database is, so nobody else may write there.
            by_owner() (
                [ -n "$as" ] || { eval "$1"; exit; }
                HOME=$(home_of "$actor")
                FLEET_DATABASE=$database
                export HOME="${HOME:-/nonexistent}" FLEET_DATABASE FLEET_BECAME=1 FLEET_BY_OWNER=1 there
                cd /
                exec $as sh -c 'fleet_functions=$1 fleet_backup=$2
            eval "$fleet_backup"
            eval "$3"' fleet "$fleet_functions" "$fleet_backup" "$1"
            )
            # Nobody's ~/.sqliterc, and no header, timer or mode of it in what is printed.
            sqlite() { $run sqlite3 -init /dev/null -batch -noheader -list "$@"; }
            # A database may hold expressions, as in CHECK, which a look at it evaluates, and the program knows functions
            # that start commands (`edit`; https://www.sqlite.org/cli.html). Python's module knows none.
            sql() {
                if [ -n "$python" ]; then $run "$python" -I -c 'import sqlite3, sys
            c = sqlite3.connect(sys.argv[1], timeout=60)
            c.execute("PRAGMA ignore_check_constraints = ON")
            for row in c.execute(sys.argv[2]): print(*row)' "$1" "$2"
                else sqlite -cmd '.timeout 60000' -cmd 'PRAGMA ignore_check_constraints = ON' "$1" "$2"; fi
            }
            online_copy() {
                if [ -n "$python" ]; then $run "$python" -I -c 'import sqlite3, sys, urllib.parse
            s = sqlite3.connect("file:" + urllib.parse.quote(sys.argv[1]) + "?mode=rw", timeout=60, uri=True)
            d = sqlite3.connect(sys.argv[2])
            s.backup(d)
            d.execute("PRAGMA journal_mode = DELETE")
            d.close()' "$1" "$2"
                else (cd "${2%/*}" && sqlite "$1" ".timeout 60000" ".backup ${2##*/}"); fi
            }
            # A command of the playbook's: its variables need not be set, and every part of a pipeline counts,
            # where a shell can see to that.
            # A shell of its own, because the one that asks whether it failed would go on after its failures (POSIX,
            # XCU 2.15, `set -e`).
            # Its text is in a variable, because a process list shows arguments.
            theirs() (
                cd "$began" || exit 1
                FLEET_TEXT=$1
                export FLEET_TEXT
                if sh -o pipefail -c : 2>/dev/null; then exec sh -e -o pipefail -c 'eval "$FLEET_TEXT"'
                elif command -v bash >/dev/null 2>&1; then exec bash -e -o pipefail -c 'eval "$FLEET_TEXT"'
                else exec sh -e -c 'eval "$FLEET_TEXT"'; fi
            )
            # copy FILE, in a directory of our own.
            copy() {
                if [ -z "$database" ]; then
                    theirs "$FLEET_COMMAND" </dev/null >"$1"
                    return
                fi
                [ -n "$as" ] || { online_copy "$database" "$1"; return; }
                # Written by whom it belongs to, in a place of its own, and taken from there.
                theirs=${database%/*}/.fleet-copy.$$
                $as mkdir -m 700 "$theirs" 2>/dev/null || theirs=$($as mktemp -d) || return 1
                live online_copy "$database" "$theirs/copy" && $as cat "$theirs/copy" >"$1"
                set -- $?
                $as rm -rf "$theirs"
                return "$1"
            }
            # An empty file would be a new, sound database to SQLite.
            sound() {
                [ -s "$1" ] || return 1
                if [ -n "$database" ]; then
                    said=$(sql "$1" 'PRAGMA integrity_check' 2>&1)
                    [ "$said" = ok ] || { printf '%s\n' "integrity_check: $said" | head -n 10; false; }
                # A check may stop reading once it has seen enough, which ends what writes to it.
                else [ -z "$FLEET_CHECK" ] || (cd "$began" && exec sh -e -c 'eval "$FLEET_CHECK"') <"$1" >/dev/null; fi
            }
            ! no_sha || exit 1
            sum() { $sha <"$1" | cut -c1-64; }
            # What a backup is of: several databases and several hosts may share a directory.
            subject=command
            [ -z "$FLEET_DATABASE" ] || subject=$(printf %s "$FLEET_DATABASE" | $sha | cut -c1-16)
            # In the directory of the backups: all of them, the newest first; with `ours` only those of this host and
            # of this database or command, as far as they say.
            backups() {
                for file in *.gz; do
                    case $file in [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z_*[!A-Za-z0-9._+-]*) continue ;;
                    [0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]T[0-9][0-9][0-9][0-9][0-9][0-9]Z_*.gz) ;; *) continue ;; esac
                    said=
                    { IFS= read -r said <"./$file.sum"; } 2>/dev/null
                    if [ -n "${1:-}" ]; then
                        case " $said " in *" of=$subject "*) ;; *' of='*) continue ;; esac
                        case " $said " in *" host=$FLEET_HOST "*) ;; *' host='*) continue ;; esac
                    fi
                    n=0
                    case " $said" in *' n='*) n=${said##* n=} n=${n%% *} ;; esac
                    case $n in '' | *[!0-9]* | 0* | ????????????????*) n=0 ;; esac
                    printf '%s %s\n' "$n" "$file"
                done | sort -k 1,1nr -k 2,2r | cut -d ' ' -f 2-
            }

            """#
}
