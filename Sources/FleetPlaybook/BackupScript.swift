/// What backing up and restoring have in common on a host.
///
/// A backup is one file, `20261125T214400Z_v1.2.0.gz`, with its SHA-256 and the database's schema
/// version beside it as `….sum`. Names sort by time.
enum BackupScript {
    /// Shell functions; `FLEET_DATABASE` and `FLEET_DIRECTORY` are paths.
    ///
    /// SQLite is reached through its own program or Python's module: a copy of a database that is
    /// being written to is no database, its own online backup is. `E_SQLITE` if there is neither.
    static let functions = #"""
        set -u
        umask 077
        fail() { echo "$1"; exit 1; }
        home() { case "$1" in '~/'*) echo "$HOME/${1#??}" ;; '~') echo "$HOME" ;; *) echo "$1" ;; esac; }
        database=$(home "$FLEET_DATABASE") directory=$(home "$FLEET_DIRECTORY")
        python=$(command -v python3 || command -v python || :)
        command -v sqlite3 >/dev/null || { [ -n "$python" ] && "$python" -c 'import sqlite3' 2>/dev/null; } ||
            fail "E_SQLITE neither sqlite3 nor python3 with its module is installed"
        sql() {
            if command -v sqlite3 >/dev/null; then sqlite3 -batch "$1" "$2"
            else "$python" -c 'import sqlite3, sys
        c = sqlite3.connect(sys.argv[1])
        for row in c.execute(sys.argv[2]): print(*row)' "$1" "$2"; fi
        }
        online_copy() {
            if [ -n "$python" ]; then "$python" -c 'import sqlite3, sys, urllib.parse
        s = sqlite3.connect("file:" + urllib.parse.quote(sys.argv[1]) + "?mode=rw", timeout=60, uri=True)
        d = sqlite3.connect(sys.argv[2])
        s.backup(d)
        d.execute("PRAGMA journal_mode = DELETE")
        d.close()' "$1" "$2"
            else (cd "${2%/*}" && sqlite3 -batch "$1" ".timeout 60000" ".backup ${2##*/}"); fi
        }
        # An empty file would be a new, sound database to SQLite.
        sound() { [ -s "$1" ] && [ "$(sql "$1" 'PRAGMA integrity_check' 2>&1)" = ok ]; }
        sum() { sha256sum <"$1" | cut -c1-64; }
        backups() { ls "$directory" 2>/dev/null | grep '^[0-9]\{8\}T[0-9]\{6\}Z_[A-Za-z0-9._+-]*\.gz$'; }

        """#
}
