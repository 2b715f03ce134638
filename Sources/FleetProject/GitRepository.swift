internal import FleetPlaybook
internal import Glibc
internal import Subprocess
internal import SystemPackage

/// The clone of the application's repository that a person or CI works in.
///
/// Git is asked as a program: it knows its configuration, credentials and signing keys, and a library would
/// know some of them. It is started as ``FleetPlaybook/GitSettings`` say, and without the variables by which
/// a hook that called us ties git to another repository. Nothing here ever moves or deletes a published name.
public struct GitRepository: Sendable {
    /// Why git did not do what it was asked.
    public struct Failure: Error, Sendable, Hashable {
        /// What was asked, as in `git push origin`.
        public let command: String
        /// What git said, the last lines of it.
        public let message: String

        /// Describes a failure.
        public init(command: String, message: String) {
            self.command = command
            self.message = message
        }
    }

    /// The working tree's top directory.
    public let root: String

    /// The most that git may print, in bytes.
    private static let outputLimitBytes = 16 << 20

    /// Finds the clone that a directory is in.
    ///
    /// - Throws: ``Failure`` if it is in none, or there is no git.
    public init(containing directory: String) async throws(Failure) {
        let top = try await Self.git(["rev-parse", "--show-toplevel"], in: directory)
        root = top.trimmedLine
    }

    /// Runs git and returns what it printed.
    ///
    /// - Parameter arguments: Words that are passed as they are.
    /// - Returns: Its standard output.
    /// - Throws: ``Failure`` if it does not exit with 0.
    @discardableResult
    public func git(_ arguments: String...) async throws(Failure) -> String {
        try await Self.git(arguments, in: root)
    }

    /// The same; git reads a text, which may be longer than a command line can be.
    @discardableResult
    public func git(_ arguments: [String], reading input: String) async throws(Failure) -> String {
        try await Self.git(arguments, in: root, reading: input)
    }

    /// The same; nil instead of an error, for questions that may have no answer.
    public func answer(_ arguments: String...) async -> String? { await answer(arguments) }

    /// The same.
    public func answer(_ arguments: [String]) async -> String? {
        do throws(Failure) {
            return try await Self.git(arguments, in: root).trimmedLine
        } catch {
            return nil
        }
    }

    /// Whether a commit has everything that another one has: its commits themselves, or others that make the same
    /// change (`git rev-list --cherry-pick`, by patch id).
    ///
    /// - Parameters:
    ///   - other: What might be missing.
    ///   - commit: The commit that might lack it.
    /// - Returns: Nil if this clone does not know both.
    public func holds(_ other: String, in commit: String) async -> Bool? {
        if other == commit { return true }
        let words = ["rev-list", "--cherry-pick", "--right-only", "--no-merges", "--max-count=1"]
        guard let lacking = await answer(words + ["\(commit)...\(other)", "--"]) else { return nil }
        guard lacking.isEmpty else { return false }
        // What was there and has been reverted since is not there.
        let same = [
            "rev-list", "--cherry-mark", "--left-only", "--no-merges", "\(commit)...\(other)", "--",
        ]
        guard let marked = await lines(same) else { return nil }
        let copies = marked.filter { $0.hasPrefix("=") }.map {
            String($0.dropFirst())
        }
        for name in copies.isEmpty ? [other] : copies {
            guard let isReverted = await isReverted(name, in: commit) else { return nil }
            if !isReverted { return true }
        }
        return false
    }

    /// The lines that git prints; nil instead of an error.
    public func lines(_ arguments: [String]) async -> [String]? {
        do throws(Failure) {
            return try await Self.git(arguments, in: root).split(whereSeparator: \.isNewline).map(
                String.init
            )
        } catch {
            // Git has said no, or cannot be asked: there is no answer.
            return nil
        }
    }

    /// Whether a commit was reverted, as git-revert(1) writes it into the message, and the revert was not.
    private func isReverted(_ name: String, in commit: String, depth: Int = 0) async -> Bool? {
        // `git revert --reference` names it by its first digits only (core.abbrev: at least four).
        let words = ["log", "--format=%x01%H%n%B", "--fixed-strings"]
        let phrase = "This reverts commit "
        guard
            let said = await lines(
                words + ["--grep=\(phrase)\(name.prefix(4))", commit, "--"]
            )
        else { return nil }
        var found: [String] = []
        var current = ""
        for line in said {
            if line.utf8.first == 0x01 {
                current = String(line.dropFirst())
                continue
            }
            let isIt = line.ranges(of: phrase).contains { range in
                let digits = line[range.upperBound...].prefix { $0.isHexDigit }
                return digits.count >= 4 && name.hasPrefix(digits)
            }
            if isIt, found.last != current { found.append(current) }
        }
        for revert in found {
            guard depth < 8 else { return nil }
            guard let isUndone = await isReverted(revert, in: commit, depth: depth + 1) else {
                return nil
            }
            if !isUndone { return true }
        }
        return false
    }

    /// What git says of a tag's signature, by its configuration (`gpg.format`, allowed signers, keys).
    ///
    /// - Returns: The signature, or why git does not accept it.
    /// - Throws: ``Failure`` if git cannot be run.
    public func signature(ofTag tag: String) async throws(Failure) -> Result<TagSignature, Failure>
    {
        // A bare name may be another object's id, or a file of git's own (gitrevisions(7)).
        let tag = "refs/tags/\(tag)"
        let words = ["verify-tag", "--raw", "--", tag]
        let (isGood, status) = try await errors(of: "git", GitSettings.localOptions + words).result
        guard isGood else {
            let (_, said) = try await errors(
                of: "git",
                GitSettings.localOptions + ["verify-tag", "--", tag]
            ).result
            let lines = said.split(whereSeparator: \.isNewline).joined(separator: "; ")
            return .failure(Failure(command: "git verify-tag", message: lines))
        }
        var listing = ""
        if let key = TagSignature.fingerprints(in: status).last {
            let openPGP = await answer("config", "--type=path", "--get", "gpg.openpgp.program")
            let program =
                if let openPGP { openPGP } else {
                    await answer("config", "--type=path", "--get", "gpg.program") ?? "gpg"
                }
            listing = try await errors(
                of: program,
                ["--batch", "--with-colons", "--list-keys", key]
            ).output
        }
        return .success(TagSignature(status: status, listing: listing))
    }

    private func errors(of program: String, _ words: [String]) async throws(Failure) -> (
        result: (isGood: Bool, errors: String), output: String
    ) {
        do {
            let result = try await run(
                program.contains("/") ? .path(.init(program)) : .name(program),
                arguments: .init(words),
                environment: Self.environment,
                workingDirectory: .init(root),
                input: .none,
                output: .string(limit: Self.outputLimitBytes),
                error: .string(limit: Self.outputLimitBytes)
            )
            return (
                (result.terminationStatus.isSuccess, result.standardError), result.standardOutput
            )
        } catch {
            throw Failure(command: program, message: "cannot be run: \(error)")
        }
    }

    /// Everything of ours but what ties git to another repository or changes what it prints.
    private static var environment: Environment {
        var updates: [Environment.Key: String?] = [
            // A question that nobody can answer must not wait for ever.
            "GIT_TERMINAL_PROMPT": isatty(STDIN_FILENO) == 1 ? "1" : "0", "LC_ALL": "C",
            "LANGUAGE": nil, "GIT_PAGER": "cat",
        ]
        for name in GitSettings.cleared {
            if let key = Environment.Key(rawValue: name) { updates[key] = .some(nil) }
        }
        return .inherit.updating(updates)
    }

    /// The longest that a command is written out in a message, in characters.
    private static let shownCharacters = 200

    private static func git(
        _ arguments: [String],
        in directory: String,
        reading input: String = ""
    ) async throws(Failure) -> String {
        try await git(arguments, in: directory, reading: input, options: PlatformOptions())
    }

    /// Runs git for a server: nobody is asked for anything, and it is killed, with all that it has started, when it
    /// takes too long.
    ///
    /// - Parameters:
    ///   - arguments: Words that are passed as they are.
    ///   - directory: Where it runs.
    ///   - seconds: The longest that it may take.
    /// - Returns: Its standard output.
    /// - Throws: ``Failure`` if it does not exit with 0 within that time.
    static func git(_ arguments: [String], in directory: String, withinSeconds seconds: Int)
        async throws(Failure) -> String
    {
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [
            .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)
        ]
        let made = options
        let result = await withTaskGroup(of: Result<String, Failure>?.self) { group in
            group.addTask {
                do throws(Failure) {
                    return .success(
                        try await git(
                            arguments,
                            in: directory,
                            reading: "",
                            options: made,
                            asks: false
                        )
                    )
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                // Cancelled once git has ended: then nobody looks at this result.
                try? await Task.sleep(for: .seconds(seconds))
                return nil
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        guard let result else {
            throw Failure(
                command: "git " + arguments.joined(separator: " "),
                message: "no end within \(seconds) s"
            )
        }
        return try result.get()
    }

    private static func git(
        _ arguments: [String],
        in directory: String,
        reading input: String,
        options: PlatformOptions,
        asks: Bool = true
    ) async throws(Failure) -> String {
        let words = "git " + arguments.joined(separator: " ")
        let command = words.count > shownCharacters ? words.prefix(shownCharacters) + "…" : words
        do {
            let result = try await run(
                .name("git"),
                // A pushed directory that looks like a bare repository is none of ours.
                arguments: .init(
                    GitSettings.localOptions + ["-c", "safe.bareRepository=explicit"] + arguments
                ),
                environment: asks
                    ? environment : environment.updating(["GIT_TERMINAL_PROMPT": "0"]),
                workingDirectory: .init(directory),
                platformOptions: options,
                input: .string(input),
                output: .string(limit: outputLimitBytes),
                error: .string(limit: outputLimitBytes)
            )
            guard result.terminationStatus.isSuccess else {
                throw Failure(command: command, message: cause(in: result.standardError))
            }
            return result.standardOutput
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(command: command, message: "cannot be run: \(error)")
        }
    }
}

extension GitRepository {
    /// What git complained about: its first `fatal:` or `error:` line, which names the cause, and the last
    /// lines, which say what to do.
    static func cause(in text: String) -> String {
        let lines = text.split(whereSeparator: \.isNewline).map(String.init)
        let last = lines.suffix(4)
        let first = lines.first { $0.hasPrefix("fatal:") || $0.hasPrefix("error:") }
        guard let first, !last.contains(first) else { return last.joined(separator: "\n") }
        return ([first] + last).joined(separator: "\n")
    }
}

extension String {
    /// Without the line break at its end.
    fileprivate var trimmedLine: String { String(split(whereSeparator: \.isNewline).first ?? "") }
}
