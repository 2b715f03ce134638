internal import Glibc
internal import Subprocess
internal import SystemPackage

/// A command that a person has named, for the shell of this machine.
public enum LocalCommand {
    /// Why it could not be run.
    public struct Failure: Error, Sendable, Hashable {
        /// What the system said.
        public let reason: String
    }

    /// How it ended.
    public struct Result: Sendable, Hashable {
        /// Whether it exited with 0.
        public let isSuccess: Bool
        /// If not, why, in a few words: the last line that it wrote to standard error, or its status.
        public let reason: String
    }

    /// The most that is read of what a command complains about, in bytes; one that writes more fails.
    private static let complaintLimitBytes = 1 << 20

    /// Runs a command; what it prints to standard output is dropped.
    ///
    /// - Parameters:
    ///   - command: For `sh -c`.
    ///   - directory: Where it is run.
    ///   - variables: Environment variables for it, besides ours.
    ///   - input: What it reads.
    ///   - seconds: The longest that it may take; then it is killed. Nil for no limit.
    /// - Returns: How it ended.
    /// - Throws: ``Failure`` if there is no shell.
    public static func run(
        _ command: String,
        in directory: String,
        with variables: [String: String],
        input: String = "",
        withinSeconds seconds: Int? = nil
    ) async throws(Failure) -> Result {
        var updates: [Environment.Key: String?] = [:]
        for (name, value) in variables {
            if let key = Environment.Key(rawValue: name) { updates[key] = value }
        }
        let environment = Environment.inherit.updating(updates)
        let result: Swift.Result<Result, Failure>? = await withTaskGroup(
            of: Swift.Result<Result, Failure>?.self
        ) { group in
            group.addTask {
                await ended(command, directory, environment, input, isGroup: seconds != nil)
            }
            if let seconds {
                group.addTask {
                    // Cancelled once the command has ended: then nobody looks at this result.
                    try? await Task.sleep(for: .seconds(seconds))
                    return nil
                }
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
        guard let result else {
            return Result(isSuccess: false, reason: "no end within \(seconds ?? 0) s")
        }
        return try result.get()
    }

    private static func ended(
        _ command: String,
        _ directory: String,
        _ environment: Environment,
        _ input: String,
        isGroup: Bool
    ) async -> Swift.Result<Result, Failure> {
        var options = PlatformOptions()
        // What it has started ends with it; without a limit it ends with us, by the terminal's Ctrl-C.
        if isGroup {
            options.processGroupID = 0
            options.teardownSequence = [
                .send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)
            ]
        }
        guard let file = Self.file(holding: input) else {
            return .failure(Failure(reason: String(cString: strerror(errno))))
        }
        do {
            let result = try await Subprocess.run(
                .name("sh"),
                arguments: ["-c", command],
                environment: environment,
                workingDirectory: .init(directory),
                platformOptions: options,
                input: .fileDescriptor(file, closeAfterSpawningProcess: true),
                output: .discarded,
                error: .string(limit: complaintLimitBytes)
            )
            guard !result.terminationStatus.isSuccess else {
                return .success(Result(isSuccess: true, reason: ""))
            }
            let said = result.standardError.split(whereSeparator: \.isNewline).last.map(String.init)
            return .success(
                Result(isSuccess: false, reason: said ?? "it \(result.terminationStatus)")
            )
        } catch {
            return .failure(Failure(reason: "\(error)"))
        }
    }

    /// A nameless file that is read from its beginning: a command that does not want its input must not
    /// be able to break a pipe.
    private static func file(holding text: String) -> FileDescriptor? {
        guard let stream = tmpfile() else { return nil }
        defer { fclose(stream) }
        let file = fcntl(fileno(stream), F_DUPFD_CLOEXEC, 0)
        guard file >= 0 else { return nil }
        let bytes = Array(text.utf8)
        guard write(file, bytes, bytes.count) == bytes.count, lseek(file, 0, SEEK_SET) == 0 else {
            close(file)
            return nil
        }
        return FileDescriptor(rawValue: file)
    }
}
