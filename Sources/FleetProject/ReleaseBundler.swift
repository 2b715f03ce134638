public import FleetPlaybook
internal import FleetTransport
internal import Subprocess
internal import SystemPackage

/// The repository on this machine that hosts are sent releases out of.
///
/// Git is asked as a program. Its repository is left as it is: the name that a release has in a bundle
/// stands in another one, which borrows its objects.
public struct ReleaseBundler: Sendable {
    /// Why git did not do what it was asked.
    public struct Failure: Error, Sendable, Hashable {
        /// What git said, the last lines of it.
        public let reason: String
    }

    private let repository: String
    private let archives: String
    private let isProjects: Bool

    /// How long a bundle that no rollout used again is kept, in days.
    private static let keptDays = 30
    /// The most that git may print, in bytes.
    private static let outputLimitBytes = 16 << 20

    /// Uses a repository.
    ///
    /// - Parameters:
    ///   - repository: Its directory, a work tree or a bare one.
    ///   - archives: The directory that bundles are kept in; made if one is needed.
    ///   - isProjects: Whether it is whatever repository the directory is in, and nobody named it: a pushed
    ///     directory that looks like a bare repository is none then (`safe.bareRepository`, git-config(1)).
    public init(repository: String, archives: String, isProjects: Bool = false) {
        self.repository = repository
        self.archives = archives
        self.isProjects = isProjects
    }

    /// The releases that it holds, as `git ls-remote` prints them.
    ///
    /// - Returns: What git printed.
    /// - Throws: ``Failure``.
    public func listing() async throws(Failure) -> String {
        try await shell(
            #"cd "$1" && git ls-remote --heads --tags -- "$(git rev-parse --absolute-git-dir)""#,
            [repository]
        )
    }

    /// Those of a host's commits that this repository knows, without the ones that others are built
    /// on: what they hold need not be sent.
    ///
    /// - Parameter ids: Commits and tags that a host holds.
    /// - Returns: Commits, sorted.
    /// - Throws: ``Failure``.
    public func basis(of ids: [String]) async throws(Failure) -> [String] {
        guard !ids.isEmpty else { return [] }
        // `merge-base` takes as many as fit on a command line: 1,000 of 41 bytes do.
        let text = try await shell(
            #"""
            cd "$1" || exit 1
            peel() { git cat-file --batch-check='%(objecttype) %(objectname)'; }
            known=$(peel | sed -n 's/^\(commit\|tag\) \(.*\)/\2^{commit}/p' | peel | sed -n 's/^commit //p')
            [ -z "$known" ] || git merge-base --independent $known
            """#,
            [repository],
            input: ids.joined(separator: "\n") + "\n"
        )
        return text.split(whereSeparator: \.isNewline).map(String.init).sorted()
    }

    /// Makes a bundle of a release.
    ///
    /// - Parameters:
    ///   - commit: The release.
    ///   - tag: Its tag, whose own object goes along; nil for none.
    ///   - basis: Commits whose histories are left out; see ``basis(of:)``.
    /// - Returns: The bundle.
    /// - Throws: ``Failure``, also if the tag stands for another commit by now.
    public func bundle(of commit: String, tag: String?, without basis: [String])
        async throws(Failure) -> ReleaseBundle
    {
        let text = try await shell(
            #"""
            set -eu
            umask 077
            mkdir -p "$2"
            # Another fleet may be renaming and clearing there: what goes away meanwhile is no error.
            find "$2" -name '*.bundle' -mtime +\#(Self.keptDays) -exec rm -f {} + 2>/dev/null || :
            archives=$(cd "$2" && pwd)
            cd "$1"
            object=$3
            if [ -n "$4" ]; then
                object=$(git rev-parse --verify "refs/tags/$4")
                [ "$(git rev-parse --verify "$object^{commit}")" = "$3" ] ||
                    { echo "tag $4 is not $3 here any more" >&2; exit 1; }
            fi
            basis=$(sed 's/^/^/')
            # What a shallow clone has of a commit is not all of it.
            if [ "$(git rev-parse --is-shallow-repository)" != false ]; then
                cut=$(cat "$(git rev-parse --git-path shallow)")
                git rev-list "$3" $basis | grep -qxF "$cut" && {
                    echo "this clone is shallow and lacks what $3 is built on: git fetch --unshallow" >&2
                    exit 1
                }
            fi
            new=$archives/new-$$
            # A repository of its own that borrows the objects: the name exists nowhere else.
            trap 'rm -rf "$new" "$new.git"' EXIT
            git init -q --bare "$new.git"
            objects=$(cd "$(git rev-parse --git-common-dir)/objects" && pwd)
            echo "$objects" >"$new.git/objects/info/alternates"
            git --git-dir="$new.git" update-ref "$5" "$object"
            { echo "$5"; echo "$basis"; } | git --git-dir="$new.git" bundle create --quiet "$new" --stdin
            sum=$(sha256sum <"$new" | cut -c1-64)
            size=$(wc -c <"$new")
            mv "$new" "$archives/$sum.bundle"
            echo "$sum $size"
            """#,
            [repository, archives, commit, tag ?? "", ReleaseBundle.reference(to: commit)],
            input: basis.map { $0 + "\n" }.joined()
        )
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count == 2, let size = Int(words[1]) else {
            throw Failure(reason: "git made no bundle")
        }
        let file = LocalFile(
            path: "\(archives)/\(words[0]).bundle",
            sizeBytes: size,
            sha256: String(words[0])
        )
        return ReleaseBundle(file: file, basis: basis)
    }

    /// Whatever called us, as a hook does, may have told git of another repository; what git prints and which
    /// hooks it runs is nobody's setting.
    private static let prologue = """
        unset \(GitSettings.cleared.joined(separator: " ")) LANGUAGE CDPATH
        git() { command git \(GitSettings.localOptions.map(ShellWord.quote).joined(separator: " ")) $explicit "$@"; }

        """

    private func shell(_ script: String, _ arguments: [String], input: String = "")
        async throws(Failure) -> String
    {
        do {
            let result = try await run(
                .name("sh"),
                arguments: .init(
                    [
                        "-c",
                        "explicit='\(isProjects ? "-c safe.bareRepository=explicit" : "")'\n"
                            + Self.prologue + script, "sh",
                    ] + arguments
                ),
                environment: .inherit.updating([
                    "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_NO_LAZY_FETCH": "1",
                ]),
                input: .string(input),
                output: .string(limit: Self.outputLimitBytes),
                error: .string(limit: Self.outputLimitBytes)
            )
            guard result.terminationStatus.isSuccess else {
                let said = result.standardError.split(whereSeparator: \.isNewline).suffix(4)
                throw Failure(reason: said.isEmpty ? "git failed" : said.joined(separator: "\n"))
            }
            return result.standardOutput
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(reason: "cannot be run: \(error)")
        }
    }
}
