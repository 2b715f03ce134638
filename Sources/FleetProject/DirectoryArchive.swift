internal import FleetPlaybook
internal import Subprocess
internal import SystemPackage

/// Packs a directory into a tar archive that all hosts are sent.
enum DirectoryArchive {
    /// Why a directory cannot be packed, for people.
    struct Failure: Error {
        let reason: String
    }

    /// How long an archive that no rollout used again is kept, in days.
    private static let keptDays = 30

    /// Members are sorted and belong to nobody, so the same directory gives the same archive, which
    /// is kept under the name of its SHA-256: a rollout that is taken up again finds it.
    private static let script =
        DirectoryDigest.shellFunction + """

            set -eu
            umask 077
            mkdir -p "$2"
            # Another fleet may be renaming and clearing there: what goes away meanwhile is no error.
            find "$2" -name '*.tar' -mtime +\(keptDays) -exec rm -f {} + 2>/dev/null || :
            cd "$1"
            odd=$(find . -name '*[[:cntrl:]\\\\]*' | head -n 1)
            [ -z "$odd" ] || { echo "the name \"$odd\" has a control character or \\\\ in it" >&2; exit 1; }
            digest=$(fleet_digest)
            new=$2/new-$$
            trap 'rm -f "$new"' EXIT
            tar --format=gnu --sort=name --owner=0 --group=0 --numeric-owner -cf "$new" .
            sum=$(sha256sum <"$new" | cut -c1-64)
            size=$(wc -c <"$new")
            mv "$new" "$2/$sum.tar"
            private=$(find . ! -type l ! -perm -004 | head -n 1)
            echo "$digest $sum $size ${private:+private}"
            """

    /// Packs a directory.
    static func make(of path: String, in archives: String) async throws(Failure) -> LocalFile {
        do {
            let result = try await run(
                .name("sh"),
                arguments: ["-c", script, "sh", path, archives],
                input: .none,
                output: .string(limit: 4_096),
                error: .string(limit: 4_096)
            )
            let words = result.standardOutput.split(whereSeparator: \.isWhitespace)
            guard result.terminationStatus.isSuccess, (3...4).contains(words.count),
                let size = Int(words[2])
            else {
                let lines = result.standardError.split(whereSeparator: \.isNewline)
                throw Failure(reason: lines.last.map(String.init) ?? "tar failed")
            }
            return LocalFile(
                path: "\(archives)/\(words[1]).tar",
                sizeBytes: size,
                sha256: String(words[1]),
                directorySHA256: String(words[0]),
                isPrivate: words.count == 4
            )
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(reason: "`tar` cannot be run: \(error)")
        }
    }
}
