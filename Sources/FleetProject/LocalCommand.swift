internal import Subprocess
internal import SystemPackage

/// A command that a person has named, for the shell of this machine.
public enum LocalCommand {
    /// Why it could not be run.
    public struct Failure: Error, Sendable, Hashable {
        /// What the system said.
        public let reason: String
    }

    /// Whether a command exits with 0; what it prints is dropped.
    ///
    /// - Parameters:
    ///   - command: For `sh -c`.
    ///   - directory: Where it is run.
    ///   - variables: Environment variables for it, besides ours.
    /// - Returns: False for every other status, and for signals.
    /// - Throws: ``Failure`` if there is no shell.
    public static func succeeds(
        _ command: String,
        in directory: String,
        with variables: [String: String]
    ) async throws(Failure) -> Bool {
        var updates: [Environment.Key: String?] = [:]
        for (name, value) in variables {
            if let key = Environment.Key(rawValue: name) { updates[key] = value }
        }
        do {
            let result = try await run(
                .name("sh"),
                arguments: ["-c", command],
                environment: .inherit.updating(updates),
                workingDirectory: .init(directory),
                input: .none,
                output: .discarded,
                error: .discarded
            )
            return result.terminationStatus.isSuccess
        } catch {
            throw Failure(reason: "\(error)")
        }
    }
}
