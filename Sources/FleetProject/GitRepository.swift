internal import Glibc
internal import Subprocess
internal import SystemPackage

/// The clone of the application's repository that a person or CI works in.
///
/// Git is asked as a program: it knows its configuration, hooks, credentials and signing keys, and a
/// library would know some of them. Nothing here ever moves or deletes a published name.
public struct GitRepository: Sendable {
    /// Why git did not do what it was asked.
    public struct Failure: Error, Sendable, Hashable {
        /// What was asked, as in `git push origin`.
        public let command: String
        /// What git said, the last lines of it.
        public let message: String
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

    /// Whether git accepts a tag's signature, by its configuration (`gpg.format`, allowed signers, keys),
    /// and what it says about that.
    ///
    /// - Throws: ``Failure`` if git cannot be run.
    public func verification(ofTag tag: String) async throws(Failure) -> (Bool, String) {
        do {
            let result = try await run(
                .name("git"),
                arguments: ["verify-tag", "--", tag],
                environment: .inherit.updating(["LC_ALL": "C"]),
                workingDirectory: .init(root),
                input: .none,
                output: .string(limit: Self.outputLimitBytes),
                error: .string(limit: Self.outputLimitBytes)
            )
            let said = result.standardError.split(separator: "\n").joined(separator: "; ")
            return (result.terminationStatus.isSuccess, said)
        } catch {
            throw Failure(command: "git verify-tag", message: "cannot be run: \(error)")
        }
    }

    private static func git(_ arguments: [String], in directory: String)
        async throws(Failure) -> String
    {
        let command = "git " + arguments.joined(separator: " ")
        do {
            let result = try await run(
                .name("git"),
                arguments: .init(arguments),
                environment: .inherit.updating([
                    // A question that nobody can answer must not wait for ever.
                    "GIT_TERMINAL_PROMPT": isatty(STDIN_FILENO) == 1 ? "1" : "0", "LC_ALL": "C",
                ]),
                workingDirectory: .init(directory),
                input: .none,
                output: .string(limit: outputLimitBytes),
                error: .string(limit: outputLimitBytes)
            )
            guard result.terminationStatus.isSuccess else {
                let said = result.standardError.split(separator: "\n").suffix(4)
                throw Failure(command: command, message: said.joined(separator: "\n"))
            }
            return result.standardOutput
        } catch let failure as Failure {
            throw failure
        } catch {
            throw Failure(command: command, message: "cannot be run: \(error)")
        }
    }
}

extension String {
    /// Without the line break at its end.
    fileprivate var trimmedLine: String { String(split(separator: "\n").first ?? "") }
}
